package postgres

import (
	"errors"
	"path/filepath"

	"rule_engine/test/scratch"
)

// socketPath is the longest path that a Unix socket may have (UNIXSOCK_PATH_BUFLEN in pqcomm.h, less its end).
const socketPath = 107

// A socket is the folder of a cluster's Unix socket: its own one, or one in /tmp where the path of that is too long.
type socket struct {
	folder string
	short  *scratch.Dir // nil where it is the cluster's own
}

func socketFor(home string, as owner) (socket, error) {
	if len(home)+len("/.s.PGSQL.65535") <= socketPath {
		return socket{folder: home}, nil
	}
	dir, err := scratch.MakeIn("/tmp", "socket")
	if err != nil {
		return socket{}, err
	}
	folder := filepath.Join(dir.Path, "s")
	if err := as.mkdir(folder); err != nil {
		return socket{}, errors.Join(err, dir.Remove())
	}
	return socket{folder: folder, short: dir}, nil
}

func (s socket) remove() error {
	if s.short == nil {
		return nil
	}
	return s.short.Remove()
}
