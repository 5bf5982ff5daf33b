package bench

import "encoding/json"

// openJSONAlone encodes and decodes each order on one goroutine.
func openJSONAlone() (*Stream, error) {
	t := newTally()
	return &Stream{
		Run: func(n int) error {
			t.expect(n, false)
			for i := range n {
				data, err := json.Marshal(newOrder(i))
				if err != nil {
					return err
				}
				if err := t.decode(data); err != nil {
					return err
				}
			}
			return t.wait()
		},
		Close: func() error { return nil },
	}, nil
}

// openJSONPipeline encodes on one goroutine and decodes on another, as a bus does,
// with a plain channel between them.
func openJSONPipeline() (*Stream, error) {
	t := newTally()
	ch := make(chan []byte, room)
	ended := make(chan error)
	go func() {
		var failed error
		for data := range ch {
			if err := t.decode(data); err != nil {
				failed = err
			}
		}
		ended <- failed
	}()
	return &Stream{
		Run: func(n int) error {
			t.expect(n, false)
			for i := range n {
				data, err := json.Marshal(newOrder(i))
				if err != nil {
					return err
				}
				ch <- data
			}
			return t.wait()
		},
		Close: func() error {
			close(ch)
			return <-ended
		},
	}, nil
}

// decode decodes an order and hands it to the handler.
func (t *tally) decode(data []byte) error {
	var o Order
	if err := json.Unmarshal(data, &o); err != nil {
		return err
	}
	return t.order(&o)
}
