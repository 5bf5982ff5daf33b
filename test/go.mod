module github.com/leat-go/leat/test

go 1.26.0

replace github.com/leat-go/leat => ../
