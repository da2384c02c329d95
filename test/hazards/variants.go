package hazards

// A variant is a build without one of the cures, and the test that must fail with it.
type variant struct {
	// hazard says what the variant does wrong.
	hazard string
	test   string
	edits  []edit
	// probed builds the Go library with its probes (build.go).
	probed bool
	// tries is how often the test may pass before it fails, where chance has a part in it.
	tries int
}

// without takes a text out of a file.
func without(file, text string) edit { return edit{file: file, old: text} }

const (
	goLibrary = "c_shim/go_library.c"
	host      = "c_shim/host.c"
	waiting   = "c_shim/wait.c"
)

// Faults that several variants share.
var (
	startMaskOpen = edit{goLibrary, "pthread_sigmask(SIG_SETMASK, &all, &opened);",
		"pthread_sigmask(SIG_SETMASK, NULL, &opened);"}
	callMaskOpen = edit{goLibrary, "pthread_sigmask(SIG_SETMASK, &blocked, &postgres_mask);",
		"pthread_sigmask(SIG_SETMASK, NULL, &postgres_mask);"}
	callMaskStays   = edit{goLibrary, "pthread_sigmask(SIG_SETMASK, &postgres_mask, NULL);", ""}
	preemptionBuilt = without("Makefile", " -X runtime.godebugDefault=asyncpreemptoff=1")
	preemptionAsked = edit{goLibrary, `"GODEBUG=asyncpreemptoff=1"`, `"NOTHING="`}
	handlersStay    = edit{goLibrary, "if (known[sig] && sig != SIGSEGV && sig != SIGBUS)\n\t\t\tsigaction(sig, &actions[sig], NULL);",
		"(void) known[sig];"}
	masksNotChecked  = without(goLibrary, "\tcheck_thread_masks(threads, nthreads);\n\n")
	argumentsUnclean = edit{goLibrary, "\tfor (int i = 0; i < kernel_argc; i++)\n\t\tkernel_argv[i] = name;\n",
		"\treturn saved;\n\tfor (int i = 0; i < kernel_argc; i++)\n\t\tkernel_argv[i] = name;\n"}
	symbolsShown = without("Makefile", " \\\n\t\t-Wl,--version-script=c_shim/exports.map")
	loadedGlobal = edit{goLibrary, "RTLD_NOW | RTLD_LOCAL", "RTLD_NOW | RTLD_GLOBAL"}
)

// naive is the c-archive as it comes.
var naive = []edit{startMaskOpen, callMaskOpen, preemptionBuilt, preemptionAsked, handlersStay, masksNotChecked}

var variants = []variant{
	{
		hazard: "Go started as it comes: nothing masked, preemption by signal, its handlers kept",
		test:   "TestLatchWakeupsAreNotLostAfterAnError", edits: naive,
	},
	{
		hazard: "the same, seen by parallel queries",
		test:   "TestParallelQueriesEndWhereGoRuns", edits: naive,
	},
	{
		hazard: "signals open at the start",
		test:   "TestLatchWakeupsAreNotLostWhereGoRuns", edits: []edit{startMaskOpen},
	},
	{
		hazard: "signals open at the start, and nobody looks at the threads",
		test:   "TestEveryThreadOfGoBlocksTheSignalsOfPostgres", edits: []edit{startMaskOpen, masksNotChecked},
	},
	{
		hazard: "the same, seen by a backend that gets many signals",
		test:   "TestSignalsThatArriveWhileGoRunsDoNoHarm", edits: []edit{startMaskOpen, masksNotChecked}, tries: 6,
	},
	{
		hazard: "preemption by signal, start masked",
		test:   "TestLatchWakeupsAreNotLostWhereGoRuns", edits: []edit{preemptionBuilt, preemptionAsked},
	},
	{
		hazard: "preemption by signal, start masked, and nobody looks at the threads",
		test:   "TestLatchWakeupsAreNotLostWhereGoRuns", edits: []edit{preemptionBuilt, preemptionAsked, masksNotChecked},
	},
	{
		hazard: "the same, seen by parallel queries",
		test:   "TestParallelQueriesEndWhereGoRuns", edits: []edit{preemptionBuilt, preemptionAsked, masksNotChecked},
	},
	{
		hazard: "Postgres' signal handlers not put back",
		test:   "TestPostgresKeepsItsSignalHandlers", edits: []edit{handlersStay},
	},
	{
		hazard: "Go's handler of SIGSEGV taken from it",
		test:   "TestANilDereferenceIsAnError", probed: true,
		edits: []edit{without(goLibrary, " && sig != SIGSEGV && sig != SIGBUS")},
	},
	{
		hazard: "SIGSEGV blocked while the backend's thread is in Go",
		test:   "TestANilDereferenceIsAnError", probed: true,
		edits: []edit{without(goLibrary, "\t\tsigdelset(&blocked, SIGSEGV);\n")},
	},
	{
		hazard: "signals open while the backend's thread is in Go",
		test:   "TestNoHandlerRunsWhileTheBackendIsInGo", edits: []edit{callMaskOpen}, probed: true,
	},
	{
		hazard: "the same, seen by a backend that gets many signals",
		test:   "TestSignalsThatArriveWhileGoRunsDoNoHarm", edits: []edit{callMaskOpen}, tries: 12,
	},
	{
		hazard: "signals stay closed after a call of Go",
		test:   "TestEveryCancelIsAnsweredWhereGoRuns", edits: []edit{callMaskStays},
	},
	{
		hazard: "the same, seen by time-outs",
		test:   "TestStatementTimeoutsFireWhereGoRuns", edits: []edit{callMaskStays},
	},
	{
		hazard: "signals closed while Go is inside Postgres",
		test:   "TestACancelReachesAWaitBelowGo",
		edits: []edit{{host, "SECURITY_LOCAL_USERID_CHANGE);\n\tgo_leave();", "SECURITY_LOCAL_USERID_CHANGE);"},
			{host, "{\n\tgo_enter();\n\tSetUserIdAndSecContext", "{\n\tSetUserIdAndSecContext"}},
	},
	{
		hazard: "Go opened in _PG_init, preloaded",
		test:   "TestAPreloadedLibraryStartsNoGoInThePostmaster",
		edits: []edit{
			{goLibrary, "static void\nstart_library(void)\n{", `void
open_early(void)
{
	Dl_info		self;
	char		path[MAXPGPATH];

	dladdr((void *) open_early, &self);
	strlcpy(path, self.dli_fname, sizeof(path));
	strlcpy(strrchr(path, '/') + 1, GO_LIBRARY_FILE, sizeof(GO_LIBRARY_FILE));
	if (dlopen(path, RTLD_NOW | RTLD_LOCAL) == NULL)
		elog(FATAL, "%s", dlerror());
}

static void
start_library(void)
{`},
			{"c_shim/rule_engine.c", "\tsettings_define();", "\textern void open_early(void);\n\n\topen_early();\n\tsettings_define();"},
		},
	},
	{
		hazard: "Go reads the session's title as its environment",
		test:   "TestADatabaseNameCannotSetGODEBUG", edits: []edit{argumentsUnclean},
	},
	{
		hazard: "Go reads the session's title as its environment, and nobody looks at the threads",
		test:   "TestADatabaseNameCannotSetGODEBUG", edits: []edit{argumentsUnclean, masksNotChecked},
	},
	{
		hazard: "an error below Go jumps over Go's frames",
		test:   "TestThousandsOfErrorsBelowGoCostNoMemory",
		edits: []edit{{host, "\t\t\tcopy_rows(rows, visit.state.results);\n\t\tSPI_finish();\n\t}\n\tPG_CATCH();\n\t{\n\t\tvisit_park(&visit);",
			"\t\t\tcopy_rows(rows, visit.state.results);\n\t\tSPI_finish();\n\t}\n\tPG_CATCH();\n\t{\n\t\tPG_RE_THROW();"}},
	},
	{
		hazard: "an error below Go raised again as a new one",
		test:   "TestAnErrorBelowGoKeepsAllItSays",
		edits:  []edit{{host, "\tReThrowError(error);", "\telog(ERROR, \"%s\", error->message);"}},
	},
	{
		hazard: "an entry without recover",
		test:   "TestAPanicInAnEntryIsAnError", probed: true,
		edits: []edit{{"pgext/exports.go", "if p := recover(); p != nil {\n\t\t\tstatus =", "if p := any(nil); p != nil {\n\t\t\tstatus ="}},
	},
	{
		hazard: "a goroutine without recover",
		test:   "TestAPanicInAGoroutineIsAFailedOutcome", probed: true,
		edits: []edit{{"nats/pool.go", "if r := recover(); r != nil {", "if r := any(nil); r != nil {"}},
	},
	{
		hazard: "Go's symbols shown to other libraries",
		test:   "TestAnotherGoLibraryLivesInTheSameBackend", edits: []edit{symbolsShown, loadedGlobal},
	},
	{
		hazard: "Go's symbols shown, opened RTLD_LOCAL",
		test:   "TestAnotherGoLibraryLivesInTheSameBackend", edits: []edit{symbolsShown},
	},
	{
		hazard: "a wait that serves no interrupt, as one inside Go",
		test:   "TestAWaitForNATSIsInterruptible", edits: []edit{deafWait},
	},
	{
		hazard: "the same, seen by a backend that is to exit",
		test:   "TestABackendInMidPublishExitsAtOnce", edits: []edit{deafWait},
	},
	{
		hazard: "a wait that does not watch the client",
		test:   "TestABackendInMidPublishExitsAtOnce",
		edits:  []edit{{waiting, "MyProcPort != NULL && ", "false && MyProcPort != NULL && "}},
	},
	{
		hazard: "a wait that does not watch the postmaster",
		test:   "TestABackendInMidPublishExitsAtOnce",
		edits:  []edit{without(waiting, "\t\tAddWaitEventToSet(set, WL_EXIT_ON_PM_DEATH, PGINVALID_SOCKET, NULL, NULL);\n")},
	},
	{
		hazard: "a wait without a name in pg_stat_activity",
		test:   "TestAWaitForNATSIsInterruptible",
		edits:  []edit{{waiting, "return PG_WAIT_EXTENSION;", "return 0;"}},
	},
	{
		hazard: "Go not told that the backend sleeps",
		test:   "TestNoPublishWaitsForAWakeupThatWasLost",
		edits:  []edit{{waiting, "__atomic_store_n(&go_signal.waiting, 1,", "__atomic_store_n(&go_signal.waiting, 0,"}},
	},
	{
		hazard: "the limit on open files left as Go raised it",
		test:   "TestTheLimitOnOpenFilesStays",
		edits:  []edit{without(goLibrary, "\tsetrlimit(RLIMIT_NOFILE, &descriptors);\n")},
	},
	{
		hazard: "Go started where there is no room for it",
		test:   "TestABackendWithoutRoomForGoRaisesAnErrorAndTheServerGoesOn",
		edits:  []edit{without(goLibrary, "\tcheck_room();\n")},
	},
	{
		hazard: "Go called in a forked process",
		test:   "TestAForkedChildNeverCallsGo",
		edits:  []edit{{goLibrary, "if (started_in == getpid())", "if (started_in != 0)"}},
	},
}

var deafWait = edit{waiting, "\tCHECK_FOR_INTERRUPTS();\n\t__atomic_store_n(&go_signal.waiting, 1, __ATOMIC_SEQ_CST);\n\tif (wait_mark() == mark)\n\t\tsleep_once();",
	"\tpgstat_report_wait_start(wait_event());\n\twhile (wait_mark() == mark)\n\t\tpg_usleep(100);\n\tpgstat_report_wait_end();\n\treturn;\n\tsleep_once();"}
