# The targets that run the product: they install what is missing, build, and use a PostgreSQL of
# their own below the temporary folder. Nothing is installed into the machine's.

.PHONY: need built demo demo-shell test installcheck-pgmq hazards bench

need: ## install what is missing for building and testing (apt, and a Go and pgmq's SQL from PyPI)
	@scripts/need build postgres go pgmq

# A make of its own: the one that reads this may have begun without pg_config.
built: need
	@$(MAKE) --no-print-directory --silent all

build/test/%: built
	@scripts/go build -C test -o ../$@ ./cmd/$*

demo: build/test/demo ## see it work: rows, events, webhooks, a rollback, an outage (throwaway servers)
	@build/test/demo

demo-shell: build/test/demo ## the same, left running, with psql in it until you quit
	@build/test/demo --shell

test: build/test/runtests ## run every test
	@build/test/runtests

# -count=1: what these tests build is no input that Go's cache of results knows.
hazards: build/test/withtree ## build each faulty variant and see its test fail
	@build/test/withtree scripts/go -C test test -count=1 -v -timeout=60m ./hazards/... -variants

bench: build/test/withtree ## print the figures of docs/performance.md
	@build/test/withtree scripts/go -C bench run .

# In a database where every CREATE EXTENSION rule_engine is followed by the switch to pgmq; the expected files are the
# same. settings shows the setting itself.
PGMQ_DATABASE = rule_engine_pgmq_regression
PGMQ_OPTS = --inputdir=test --dbname=$(PGMQ_DATABASE) --use-existing

build/pgmq/pgmq.sql:
	@scripts/need pgmq

installcheck-pgmq: build/pgmq/pgmq.sql ## run the SQL tests once more, with pgmq as the queue's backend
	'$(bindir)/psql' -X -q -v ON_ERROR_STOP=1 -v database=$(PGMQ_DATABASE) -d postgres -f test/pgmq/database.sql
ifneq ($(REGRESS),)
	$(pg_regress_installcheck) $(PGMQ_OPTS) --outputdir=build/pgmq/regress $(filter-out settings,$(REGRESS))
endif
ifneq ($(ISOLATION),)
	$(pg_isolation_regress_installcheck) $(PGMQ_OPTS) --outputdir=build/pgmq/isolation $(ISOLATION)
endif
