// Package postgres runs throwaway PostgreSQL clusters from a tree that scripts/pgroot made.
//
// PGROOT names the tree. Each cluster is a copy of one that was made once per tree, with a free
// loopback port and a Unix socket of its own. The server runs as user postgres when we are root.
// It gets SIGQUIT (an immediate shutdown) when the process that started it dies, and its folder is
// removed at the end, by the next run if not by this one.
package postgres
