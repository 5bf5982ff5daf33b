package main

func Example() {
	main()
	// Output: mail for order 42
}
