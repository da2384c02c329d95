package postgres

// An Option changes how a cluster is made.
type Option func(*options)

type options struct {
	conf     []string
	env      []string
	prepared *preparation
}

type preparation struct {
	name string
	do   func(c *Cluster) error
}

func (o options) template(tree string, as owner) (string, error) {
	if o.prepared != nil {
		return o.prepared.template(tree, as)
	}
	return bare(tree, as)
}

// Conf adds lines to postgresql.conf; they win over the ones that every cluster gets.
func Conf(lines ...string) Option {
	return func(o *options) { o.conf = append(o.conf, lines...) }
}

// Env adds NAME=value to the server's environment.
func Env(entries ...string) Option {
	return func(o *options) { o.env = append(o.env, entries...) }
}

// Prepared starts with a copy of what do has left in a cluster, which it is called for once per tree and name.
func Prepared(name string, do func(c *Cluster) error) Option {
	return func(o *options) { o.prepared = &preparation{name: name, do: do} }
}

// standing are the lines of every cluster: quick, quiet, and telling in its log.
var standing = []string{
	"listen_addresses = '127.0.0.1'",
	"fsync = off",
	"full_page_writes = off",
	"shared_buffers = 32MB",
	"max_wal_size = 256MB",
	"dynamic_shared_memory_type = mmap", // goes with the cluster's folder where nobody is left to remove it
	"timezone = 'UTC'",
	"log_timezone = 'UTC'",
	"log_line_prefix = '%m [%p] %q%u@%d '",
	"log_checkpoints = off",
}
