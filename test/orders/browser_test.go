package orders_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/internal/servicetest"
)

// patience is how long a test waits for what it does in a tab.
const patience = time.Minute

// browser is one with a profile of its own, which is gone at the end. It is driven through a
// pipe: nothing listens on a port.
type browser struct{ ctx context.Context }

func browse(t *testing.T) browser {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(servicetest.Addr(t, "chromium")),
		chromedp.NoSandbox) // root and some systems have none, and the page is ours
	ctx, stop := chromedp.NewExecAllocator(context.WithoutCancel(t.Context()), options...)
	t.Cleanup(stop)
	ctx, stop = chromedp.NewContext(ctx, chromedp.WithErrorf(t.Logf))
	t.Cleanup(stop)
	require.NoError(t, chromedp.Do(ctx))
	t.Cleanup(func() { assert.NoError(t, chromedp.Cancel(ctx)) }) // which waits until it has ended
	return browser{ctx}
}

// tab is a page in a window of its own, which shares no cookies with others.
type tab struct {
	t   *testing.T
	ctx context.Context

	mu   sync.Mutex
	went []string // wrong
}

// visit opens a page, and notes what its orders say from then on.
func (b browser) visit(t *testing.T, url string) *tab {
	t.Helper()
	p := &tab{t: t}
	ctx, stop := chromedp.NewContext(b.ctx, chromedp.WithNewBrowserContext(), chromedp.WithListener(p.listen))
	t.Cleanup(stop)
	p.ctx = ctx
	require.NoError(t, chromedp.Do(ctx)) // the tab lives as long as the context that it is opened with
	p.do(
		chromedp.Navigate(url), chromedp.WaitVisible(chromedp.CSS("#stock button")),
		chromedp.Evaluate[chromedp.Void](note),
	)
	t.Cleanup(func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		assert.Empty(t, p.went, "what went wrong on the page")
	})
	return p
}

// listen notes what a page's console has in red: exceptions, and what the policy forbids.
func (p *tab) listen(e any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch e := e.(type) {
	case *runtime.EventExceptionThrown:
		p.went = append(p.went, fmt.Sprintf("%+v", *e.ExceptionDetails))
	case *log.EventEntryAdded:
		if e.Entry.Level == log.EntryLevelError {
			p.went = append(p.went, e.Entry.Text+" "+e.Entry.URL)
		}
	}
}

func (p *tab) do(actions ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	require.NoError(p.t, chromedp.Do(ctx, actions...))
}

// ask returns the value of an expression on the page.
func ask[T any](p *tab, expression string) T {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression))
	require.NoError(p.t, err)
	return v
}

// note is a script that keeps each text that an order has shown.
const note = `
	window.said = [];
	new MutationObserver(() => {
		for (const e of document.querySelectorAll("#orders .text"))
			if (said.at(-1) !== e.textContent) said.push(e.textContent);
	}).observe(document.getElementById("orders"), { childList: true, characterData: true, subtree: true });`

// click orders an item.
func (p *tab) click(item string) {
	p.t.Helper()
	p.do(chromedp.Click(chromedp.CSS(`#stock button[data-item="` + item + `"]`)))
}

// ended waits until the order is over, and returns its state and what it has shown.
func (p *tab) ended() (state string, said []string) {
	p.t.Helper()
	p.do(chromedp.WaitReady(chromedp.CSS(`#orders li[data-state="succeeded"], #orders li[data-state="failed"]`)))
	return ask[string](p, `document.querySelector("#orders li").dataset.state`), ask[[]string](p, "said")
}

// shows waits until the stock has a line.
func (p *tab) shows(line string) {
	p.t.Helper()
	p.do(chromedp.WaitVisible(`//*[@id="stock"]//span[text()="` + line + `"]`))
}
