package pgstore_test

import (
	"io/fs"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/stores/pgstore"
)

// migrations returns the texts of all migrations, in order.
func migrations(t *testing.T) []string {
	t.Helper()
	var all []string
	require.NoError(t, fs.WalkDir(pgstore.Migrations(), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		sql, err := fs.ReadFile(pgstore.Migrations(), path)
		all = append(all, string(sql))
		return err
	}))
	return all
}
