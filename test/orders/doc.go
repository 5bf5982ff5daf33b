// Package orders clicks through the page of examples/orders, in a real browser.
package orders
