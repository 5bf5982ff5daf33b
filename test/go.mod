module github.com/leat-go/leat/test

go 1.26.0

replace github.com/leat-go/leat => ../

require (
	github.com/cloudevents/sdk-go/v2 v2.16.2
	github.com/leat-go/leat v0.0.0-00010101000000-000000000000
	github.com/stretchr/testify v1.11.0
)

require (
	github.com/davecgh/go-spew v1.1.1 // indirect
	github.com/json-iterator/go v1.1.12 // indirect
	github.com/modern-go/concurrent v0.0.0-20180306012644-bacd9c7ef1dd // indirect
	github.com/modern-go/reflect2 v1.0.2 // indirect
	github.com/oklog/ulid/v2 v2.1.0 // indirect
	github.com/pmezard/go-difflib v1.0.0 // indirect
	go.uber.org/multierr v1.11.0 // indirect
	go.uber.org/zap v1.27.0 // indirect
	gopkg.in/yaml.v3 v3.0.1 // indirect
)
