// Package notify is what notifiers that speak HTTP have in common: to tell several
// receivers at a time, to read how long one wants to be left alone, to say why a request
// failed without the bytes of the other side, and to make one verdict of what became of
// all of them.
package notify
