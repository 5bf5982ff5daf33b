package bench

import (
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// alarm waits for less than a millisecond, which Go's own timers don't: where there is
// nothing else to do they wait for a whole one.
type alarm struct {
	fd   int
	file *os.File
	read [8]byte
}

func newAlarm() (*alarm, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return nil, err
	}
	return &alarm{fd: fd, file: os.NewFile(uintptr(fd), "timerfd")}, nil
}

func (a *alarm) wait(d time.Duration) {
	if d <= 0 {
		return
	}
	at := unix.ItimerSpec{Value: unix.NsecToTimespec(d.Nanoseconds())}
	if err := unix.TimerfdSettime(a.fd, 0, &at, nil); err != nil {
		return
	}
	_, _ = a.file.Read(a.read[:])
}

func (a *alarm) close() { _ = a.file.Close() }
