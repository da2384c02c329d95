-- Everything that the extension is, one line each, without object ids and times.
WITH members AS (
    SELECT d.classid, d.objid FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid
    WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e' AND e.extname = 'rule_engine'),
relations AS (
    SELECT c.* FROM pg_class c
    WHERE c.oid IN (SELECT m.objid FROM members m WHERE m.classid = 'pg_class'::regclass)
       OR c.oid IN (SELECT i.indexrelid FROM pg_index i JOIN members m ON m.classid = 'pg_class'::regclass AND m.objid = i.indrelid))
SELECT line FROM (
    SELECT 'member ' || pg_describe_object(m.classid, m.objid, 0) AS line FROM members m
    UNION ALL
    SELECT format('comment on %s %s: %s', pg_describe_object(d.classoid, d.objoid, 0), d.objsubid, d.description)
    FROM pg_description d JOIN members m ON m.classid = d.classoid AND m.objid = d.objoid
    UNION ALL
    SELECT pg_get_functiondef(m.objid) FROM members m WHERE m.classid = 'pg_proc'::regclass
    UNION ALL
    SELECT format('acl of function %s: %s', p.oid::regprocedure, p.proacl)
    FROM members m JOIN pg_proc p ON m.classid = 'pg_proc'::regclass AND p.oid = m.objid
    UNION ALL
    SELECT format('relation %s %s %s %s %s %s', c.relkind, c.oid::regclass, c.relpersistence, c.reloptions, c.relacl,
                  pg_get_expr(c.relpartbound, c.oid)) FROM relations c
    UNION ALL
    SELECT format('column %s.%s %s %s %s %s %s', c.oid::regclass, a.attnum, a.attname, format_type(a.atttypid, a.atttypmod),
                  a.attnotnull, pg_get_expr(d.adbin, d.adrelid), a.attacl)
    FROM relations c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
    LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
    UNION ALL
    SELECT format('view %s %s', c.oid::regclass, pg_get_viewdef(c.oid)) FROM relations c WHERE c.relkind = 'v'
    UNION ALL
    SELECT format('constraint %s %s %s', k.conrelid::regclass, k.conname, pg_get_constraintdef(k.oid))
    FROM relations c JOIN pg_constraint k ON k.conrelid = c.oid
    UNION ALL
    SELECT format('index %s', pg_get_indexdef(c.oid)) FROM relations c WHERE c.relkind IN ('i', 'I')
    UNION ALL
    SELECT format('trigger %s %s', t.tgenabled, pg_get_triggerdef(t.oid))
    FROM relations c JOIN pg_trigger t ON t.tgrelid = c.oid AND NOT t.tgisinternal
    UNION ALL
    SELECT format('initial privileges of %s %s: %s', pg_describe_object(i.classoid, i.objoid, 0), i.objsubid, i.initprivs)
    FROM pg_init_privs i JOIN members m ON m.classid = i.classoid AND m.objid = i.objoid
    UNION ALL
    SELECT format('dumped %s %s', c.oid::regclass, e.condition)
    FROM (SELECT unnest(extconfig) AS oid, unnest(extcondition) AS condition FROM pg_extension WHERE extname = 'rule_engine') e
    JOIN pg_class c ON c.oid = e.oid
) lines
ORDER BY line COLLATE "C"
