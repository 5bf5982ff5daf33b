package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
)

// busiest is the repository that most deliveries are about.
const busiest = "Codertocat/Hello-World"

// top is how many types the table names.
const top = 10

// report prints what the groups counted.
func report(out io.Writer, p *projection, pr *progress) {
	fmt.Fprintln(out, "\nWhat the projection counted:")
	reportTypes(out, p.counts)
	fmt.Fprintln(out, "\nWhat the groups did:")
	reportGroups(out, pr)
}

// row is a type of the projection by repository.
type row struct {
	typ                     string
	all, busiest, other, no int
}

func (r *row) add(o row) {
	r.all += o.all
	r.busiest += o.busiest
	r.other += o.other
	r.no += o.no
}

func reportTypes(out io.Writer, counts map[place]int) {
	byType := make(map[string]row)
	total := row{typ: "total"}
	for at, n := range counts {
		c := row{all: n}
		switch at.repository {
		case busiest:
			c.busiest = n
		case "":
			c.no = n
		default:
			c.other = n
		}
		r := byType[at.typ]
		r.typ = at.typ
		r.add(c)
		byType[at.typ] = r
		total.add(c)
	}
	rows := slices.SortedFunc(maps.Values(byType), func(a, b row) int {
		return cmp.Or(cmp.Compare(b.all, a.all), cmp.Compare(a.typ, b.typ))
	})
	shown := min(top, len(rows))
	rest := row{typ: fmt.Sprintf("%d more types", len(rows)-shown)}
	for _, r := range rows[shown:] {
		rest.add(r)
	}
	const line = "  %-16s%12v%24v%20v%15v\n"
	fmt.Fprintf(out, line, "type", "deliveries", busiest, "other repositories", "no repository")
	for _, r := range append(rows[:shown:shown], rest, total) {
		fmt.Fprintf(out, line, r.typ, r.all, r.busiest, r.other, r.no)
	}
}

func reportGroups(out io.Writer, p *progress) {
	const line = "  %-16s%12v%9v%9v%6v%10v\n"
	fmt.Fprintf(out, line, "group", "published", "handled", "retried", "dead", "redriven")
	for _, g := range groups {
		c := p.of(g)
		fmt.Fprintf(out, line, g, c.published, c.handled, c.retried, c.dead, c.redriven)
	}
}
