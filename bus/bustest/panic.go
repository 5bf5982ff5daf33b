package bustest

import (
	"fmt"
	"path/filepath"
	"runtime"
	"strings"
)

// guarded calls f; a panic in it is an error, which says what f is.
func guarded(what string, f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("%s panics%s: %v", what, panicked(), v)
		}
	}()
	return f()
}

// panicked returns " at file:line" of the panic that is being recovered. A stack would
// not be the same in each run.
func panicked() string {
	var pcs [64]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(0, pcs[:])])
	for inside := false; ; {
		f, more := frames.Next()
		switch {
		case f.Function == "runtime.gopanic":
			inside = true
		case inside && !strings.HasPrefix(f.Function, "runtime."):
			return fmt.Sprintf(" at %s:%d", filepath.Base(f.File), f.Line)
		}
		if !more {
			return ""
		}
	}
}
