// Package modeltest tests that a model keeps every promise that package query makes of
// [query.Model] and [query.Update]. The models of leat are tested by it, and so should be
// yours:
//
//	func TestModel(t *testing.T) {
//		modeltest.Run(t, func(tb testing.TB) modeltest.Harness {
//			m, other := mystore.NewModel(server, tb.Name()), mystore.NewModel(server, tb.Name())
//			return modeltest.Harness{Model: m, Other: other, Add: m.add, Get: m.get}
//		})
//	}
package modeltest
