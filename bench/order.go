package bench

// Order is the message of the typed scenario: about 250 bytes of JSON.
type Order struct {
	Number   int    `json:"number"`
	Customer string `json:"customer"`
	Currency string `json:"currency"`
	Cents    int64  `json:"cents"`
	Express  bool   `json:"express"`
	Lines    []Line `json:"lines"`
	Street   string `json:"street"`
	Town     string `json:"town"`
}

// Line is one line of an order.
type Line struct {
	SKU    string `json:"sku"`
	Name   string `json:"name"`
	Amount int    `json:"amount"`
	Cents  int64  `json:"cents"`
}

var lines = []Line{
	{"A-1001", "Tea, black", 3, 1295},
	{"B-2002", "Pot of clay", 1, 3450},
}

// newOrder returns order number i.
func newOrder(i int) Order {
	return Order{
		Number: i, Customer: "customer-4711", Currency: "EUR", Cents: 7335, Express: true,
		Lines: lines, Street: "Mill Lane 7", Town: "Watford",
	}
}

// order is what all handlers of orders do.
func (t *tally) order(o *Order) error {
	if len(o.Lines) != len(lines) {
		return errAgain
	}
	t.one()
	return nil
}
