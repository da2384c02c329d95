# rule_engine: `make help` lists the targets. Build, install and installcheck are PGXS'.

EXTENSION = rule_engine
EXTVERSION := $(shell sed -n "s/^default_version = '\(.*\)'/\1/p" rule_engine.control)

MODULE_big = rule_engine
OBJS = c_shim/rule_engine.o c_shim/counted.o c_shim/go_library.o c_shim/host.o c_shim/marks.o c_shim/outages.o c_shim/room.o c_shim/settings.o c_shim/topmost.o c_shim/trigger.o c_shim/wait.o c_shim/wake.o

GO = scripts/go
GO_ARCHIVE = build/rule_engine_go.a
GO_LIBRARY = build/rule_engine_go-$(EXTVERSION).so
# asyncpreemptoff: Go would open SIGURG on its threads, which is Postgres' latch (c_shim/go_library.c).
GO_LDFLAGS = -s -w -X runtime.godebugDefault=asyncpreemptoff=1
# The resolver and the user look-up in Go alone start no thread of libc's.
GO_TAGS = netgo,osusergo

MIGRATIONS := $(sort $(wildcard migrations/*.sql))
EXTENSION_SCRIPT = build/rule_engine--$(EXTVERSION).sql
RELEASED := $(patsubst test/released/rule_engine--%.sql,%,$(wildcard test/released/*.sql))
UPGRADE_SCRIPTS = $(RELEASED:%=build/rule_engine--%--$(EXTVERSION).sql)
DATA_built = $(EXTENSION_SCRIPT) $(UPGRADE_SCRIPTS)

REGRESS = $(patsubst test/sql/%.sql,%,$(sort $(wildcard test/sql/*.sql)))
REGRESS_OPTS = --inputdir=test --outputdir=build/regress
ISOLATION = $(patsubst test/specs/%.spec,%,$(sort $(wildcard test/specs/*.spec)))
ISOLATION_OPTS = --inputdir=test --outputdir=build/isolation

PG_CONFIG ?= pg_config
# As a system folder, so that warnings are about our files.
PG_CPPFLAGS = -isystem $(shell $(PG_CONFIG) --includedir-server) -DRULE_ENGINE_VERSION='"$(EXTVERSION)"'
PG_CFLAGS = -Wextra
EXTRA_CLEAN = build

PGXS := $(shell $(PG_CONFIG) --pgxs)
ifeq ($(PGXS),)
all install installcheck: no-pg-config
.PHONY: no-pg-config
no-pg-config:
	@echo '$(PG_CONFIG) is no pg_config: "scripts/need postgres" installs PostgreSQL with its headers' >&2; exit 1
else
include $(PGXS)
endif

# An install as root must not compile, least of all with another PATH than the build's.
ifneq ($(filter install,$(MAKECMDGOALS)),)
ifeq ($(filter all,$(MAKECMDGOALS)),)
ifneq ($(shell $(MAKE) --no-print-directory $(MAKEOVERRIDES) -q all 2>/dev/null && echo built),built)
$(error run "make" first: install compiles nothing)
endif
endif
endif

all: $(GO_LIBRARY) ## build the extension (needs a C compiler, Postgres' headers and Go: scripts/need build postgres go)

$(OBJS) $(OBJS:.o=.bc): c_shim/shim.h c_shim/bridge.h rule_engine.control

$(GO_ARCHIVE): $(wildcard pgext/*.go nats/*.go nats/*/*.go) c_shim/bridge.h go.mod go.sum
	@mkdir -p build
	$(GO) build -trimpath -tags $(GO_TAGS) -buildmode=c-archive -ldflags "$(GO_LDFLAGS)" -o $@ ./pgext

# A library of its own, which shows nothing but its entries: two Go runtimes in
# one backend must not find each other's symbols.
$(GO_LIBRARY): $(GO_ARCHIVE) c_shim/exports.map
	$(CC) -shared -o $@ -Wl,--whole-archive $(GO_ARCHIVE) -Wl,--no-whole-archive \
		-Wl,--version-script=c_shim/exports.map -Wl,-z,nodelete -lpthread

$(EXTENSION_SCRIPT): scripts/install-script scripts/update-begin.sql rule_engine.control $(MIGRATIONS) $(sort $(wildcard sql/*.sql))
	@mkdir -p build
	scripts/install-script $(EXTVERSION) > $@.new && mv $@.new $@

# From each released version straight to this one.
build/rule_engine--%--$(EXTVERSION).sql: test/released/rule_engine--%.sql $(EXTENSION_SCRIPT)
	scripts/install-script $(EXTVERSION) $< > $@.new && mv $@.new $@

# The Go libraries of other versions stay: a running server may hold their shim.
install: install-go-library ## install into the Postgres of PG_CONFIG, as root; compiles nothing

.PHONY: install-go-library
install-go-library: $(GO_LIBRARY) installdirs
	$(INSTALL_SHLIB) $(GO_LIBRARY) '$(DESTDIR)$(pkglibdir)/'

uninstall: uninstall-go-library

.PHONY: uninstall-go-library
uninstall-go-library:
	rm -f '$(DESTDIR)$(pkglibdir)/$(notdir $(GO_LIBRARY))'

installcheck: ## run the SQL tests against a running server that has the extension installed

-include make/*.mk

.PHONY: help
help: ## list the targets
	@sed -n 's/^\([a-z][a-z-]*\):[^#]*## /\1\t/p' $(MAKEFILE_LIST) | sort -u | awk -F'\t' '{printf "  %-14s %s\n", $$1, $$2}'
