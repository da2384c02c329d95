# The targets that run the product: they install what is missing, build, and use a PostgreSQL of
# their own below the temporary folder. Nothing is installed into the machine's.

NODE_WORKER = examples/nats-workers/nodejs
NODE_MODULES = $(NODE_WORKER)/node_modules/.package-lock.json

.PHONY: need need-test built demo demo-shell test installcheck-pgmq soak hazards bench

need: ## install what is missing for building and testing (apt, and a Go from PyPI)
	@scripts/need build postgres go

need-test:
	@scripts/need pgbouncer pgmq node standardwebhooks python

# A make of its own: the one that reads this may have begun without pg_config.
built: need
	@$(MAKE) --no-print-directory --silent all

build/test/%: built
	@scripts/go build -C test -o ../$@ ./cmd/$*

$(NODE_MODULES): $(NODE_WORKER)/package-lock.json
	@scripts/need node
	@scripts/npm ci --prefix $(NODE_WORKER) --no-audit --no-fund --silent
	@touch $@

# make demo WORKER=nodejs
ifeq ($(WORKER),nodejs)
demo demo-shell: $(NODE_MODULES)
endif

demo: build/test/demo ## see it work: rows, events, webhooks, a rollback, an outage (throwaway servers)
	@WORKER=$(WORKER) build/test/demo

demo-shell: build/test/demo ## the same, left running, with psql in it until you quit
	@WORKER=$(WORKER) build/test/demo --shell

test: need-test $(NODE_MODULES) build/test/runtests ## run every test
	@build/test/runtests

# As long each as SOAK says, one after the other: they are to have the machine to themselves.
soak: need-test build/test/withtree ## run the long variants of tests under load and harm: make soak SOAK=2m
	@SOAK=$(or $(SOAK),15m) build/test/withtree scripts/go -C test test -count=1 -v -p=1 -timeout=3h ./cluster ./backends ./soak

# -count=1: what these tests build is no input that Go's cache of results knows.
hazards: build/test/withtree ## build each faulty variant and see its test fail
	@build/test/withtree scripts/go -C test test -count=1 -v -timeout=60m ./hazards/... -variants

bench: $(NODE_MODULES) build/test/withtree ## print the figures of docs/performance.md
	@build/test/withtree scripts/go -C bench run .

PGMQ_DATABASE = rule_engine_pgmq_regression
PGMQ_DATABASE_MAKE = '$(bindir)/psql' -X -q -v ON_ERROR_STOP=1 -v database=$(PGMQ_DATABASE) -d postgres -f test/pgmq/database.sql
PGMQ_OPTS = --dbname=$(PGMQ_DATABASE) --use-existing
PGMQ_REGRESS = $(patsubst test/pgmq/sql/%.sql,%,$(sort $(wildcard test/pgmq/sql/*.sql)))
PGMQ_ISOLATION = $(patsubst test/pgmq/specs/%.spec,%,$(sort $(wildcard test/pgmq/specs/*.spec)))

build/pgmq/pgmq.sql:
	@scripts/need pgmq

# In a database where every CREATE EXTENSION rule_engine is followed by the switch to pgmq: what is expected is the same, but
# in three tests: one shows the setting, the others count what the native queue's indexes are read for.
installcheck-pgmq: build/pgmq/pgmq.sql ## run the SQL tests once more, with pgmq as the queue's backend
ifneq ($(REGRESS),)
	$(PGMQ_DATABASE_MAKE)
	$(pg_regress_installcheck) $(PGMQ_OPTS) --inputdir=test --outputdir=build/pgmq/regress $(filter-out settings worker_plans,$(REGRESS))
	$(PGMQ_DATABASE_MAKE)
	$(pg_regress_installcheck) $(PGMQ_OPTS) --inputdir=test/pgmq --outputdir=build/pgmq/own $(PGMQ_REGRESS)
endif
ifneq ($(ISOLATION),)
	$(PGMQ_DATABASE_MAKE)
	$(pg_isolation_regress_installcheck) $(PGMQ_OPTS) --inputdir=test --outputdir=build/pgmq/isolation $(filter-out claim_under_snapshot,$(ISOLATION))
	$(pg_isolation_regress_installcheck) $(PGMQ_OPTS) --inputdir=test/pgmq --outputdir=build/pgmq/own_isolation $(PGMQ_ISOLATION)
endif
