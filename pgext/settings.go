package main

// settings is what a publish needs of the row of rule_engine_settings.
type settings struct {
	// limited says that the queue as a whole has a limit.
	limited bool
}

var (
	// Version 0.1.0 has no such table, and this library serves it, too.
	hasSettings = statement{
		sql:   `SELECT pg_catalog.to_regclass($1) IS NOT NULL`,
		kinds: []kind{kindText}, see: latestSnapshot,
	}
	loadSettings = statement{
		sql: `SELECT s.queue_max_events IS NOT NULL OR s.queue_max_bytes IS NOT NULL
		      FROM $SCHEMA.rule_engine_settings s`,
		kinds: []kind{}, see: latestSnapshot,
	}
)

func (e *engine) settings() (*settings, error) {
	if e.cache.settings != nil {
		return e.cache.settings, nil
	}
	s := &settings{}
	row, err := e.row(&hasSettings, text(e.schema+".rule_engine_settings"))
	if err != nil {
		return nil, err
	}
	var there bool
	if err := scan(row, &there); err != nil {
		return nil, err
	}
	if there {
		if row, err = e.row(&loadSettings); err != nil {
			return nil, err
		}
		if row != nil {
			if err := scan(row, &s.limited); err != nil {
				return nil, err
			}
		}
	}
	e.cache.settings = s
	return s, nil
}
