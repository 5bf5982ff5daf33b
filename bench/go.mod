module github.com/leat-go/leat/bench

go 1.26.0

replace github.com/leat-go/leat => ../
