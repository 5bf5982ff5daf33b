// Package killtest gives tests processes that end as kill -9 ends them: where a test says
// ([Points]), or at any time, again and again ([Campaign]). A process is the binary of the
// test itself, which runs one of its tests ([Start]).
package killtest
