-- Every object of the extension, so that no change of its surface goes unseen.
\pset null -
\a \t
SET search_path = re;
SELECT count(*) > -1 FROM rule_engine_create_roles();

-- Objects
SELECT pg_describe_object(d.classid, d.objid, 0)
FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid
WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e' AND e.extname = 'rule_engine'
  AND d.classid <> 'pg_type'::regclass
ORDER BY pg_describe_object(d.classid, d.objid, 0) COLLATE "C";

-- Functions: signature, result; volatility, parallel safety, strictness; rights; settings
CREATE TEMP VIEW members AS
SELECT d.classid, d.objid FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid
WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e' AND e.extname = 'rule_engine';
SELECT format(E'%s(%s)\n    returns %s; %s, %s%s; %s%s', p.proname, pg_get_function_arguments(p.oid), pg_get_function_result(p.oid),
              l.lanname || ' ' || CASE p.provolatile WHEN 'i' THEN 'immutable' WHEN 's' THEN 'stable' ELSE 'volatile' END,
              CASE p.proparallel WHEN 's' THEN 'parallel safe' WHEN 'r' THEN 'parallel restricted' ELSE 'parallel unsafe' END,
              CASE WHEN p.proisstrict THEN ', strict' ELSE '' END,
              CASE WHEN p.prosecdef THEN 'definer' ELSE 'invoker' END, coalesce('; ' || array_to_string(p.proconfig, ', '), ''))
FROM members m JOIN pg_proc p ON m.classid = 'pg_proc'::regclass AND p.oid = m.objid JOIN pg_language l ON l.oid = p.prolang
ORDER BY p.proname COLLATE "C", pg_get_function_arguments(p.oid) COLLATE "C";

-- Columns of tables: type, not null, default. The leaf partitions have those of their table.
SELECT format('%s.%s %s%s%s', c.relname, a.attname, format_type(a.atttypid, a.atttypmod), CASE WHEN a.attnotnull THEN ' NOT NULL' ELSE '' END,
              coalesce(' DEFAULT ' || pg_get_expr(d.adbin, d.adrelid), ''))
FROM members m JOIN pg_class c ON m.classid = 'pg_class'::regclass AND c.oid = m.objid AND c.relkind IN ('r', 'p') AND NOT c.relispartition
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
ORDER BY c.relname COLLATE "C", a.attnum;

-- Columns of views, in order
SELECT format('%s (%s)', c.relname, string_agg(a.attname || ' ' || format_type(a.atttypid, a.atttypmod), ', ' ORDER BY a.attnum))
FROM members m JOIN pg_class c ON m.classid = 'pg_class'::regclass AND c.oid = m.objid AND c.relkind = 'v'
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
GROUP BY c.relname ORDER BY c.relname COLLATE "C";

-- Constraints and indexes; those of leaf partitions are their table's
SELECT format('%s: %s %s', c.relname, k.conname, pg_get_constraintdef(k.oid))
FROM members m JOIN pg_class c ON m.classid = 'pg_class'::regclass AND c.oid = m.objid AND NOT c.relispartition
JOIN pg_constraint k ON k.conrelid = c.oid AND k.contype <> 'n'
ORDER BY c.relname COLLATE "C", k.conname COLLATE "C";
SELECT replace(pg_get_indexdef(i.indexrelid), 're.', '')
FROM members m JOIN pg_class c ON m.classid = 'pg_class'::regclass AND c.oid = m.objid AND NOT c.relispartition
JOIN pg_index i ON i.indrelid = c.oid JOIN pg_class x ON x.oid = i.indexrelid
ORDER BY c.relname COLLATE "C", x.relname COLLATE "C";
SELECT format('%s in %s %s', c.relname, i.inhparent::regclass, pg_get_expr(c.relpartbound, c.oid))
FROM members m JOIN pg_class c ON m.classid = 'pg_class'::regclass AND c.oid = m.objid JOIN pg_inherits i ON i.inhrelid = c.oid
ORDER BY c.relname COLLATE "C";

-- Triggers
SELECT replace(pg_get_triggerdef(t.oid), 're.', '') || CASE t.tgenabled WHEN 'A' THEN ' ALWAYS' ELSE '' END
FROM members m JOIN pg_trigger t ON m.classid = 'pg_class'::regclass AND t.tgrelid = m.objid AND NOT t.tgisinternal
ORDER BY replace(pg_get_triggerdef(t.oid), 're.', '') COLLATE "C";

-- What a dump takes along
SELECT c.oid::regclass || coalesce(' ' || nullif(e.condition, ''), '')
FROM (SELECT unnest(extconfig) AS oid, unnest(extcondition) AS condition FROM pg_extension WHERE extname = 'rule_engine') e
JOIN pg_class c ON c.oid = e.oid ORDER BY c.relname COLLATE "C";

-- Privileges of anybody but the owner
SELECT format('%s: %s %s', o.name, CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END,
              string_agg(a.privilege_type || CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END, ', ' ORDER BY a.privilege_type))
FROM members m
JOIN LATERAL (
    SELECT p.proname::text AS name, coalesce(p.proacl, acldefault('f', p.proowner)) AS acl, p.proowner AS owner
    FROM pg_proc p WHERE m.classid = 'pg_proc'::regclass AND p.oid = m.objid
    UNION ALL
    SELECT c.relname, c.relacl, c.relowner FROM pg_class c WHERE m.classid = 'pg_class'::regclass AND c.oid = m.objid
    UNION ALL
    SELECT c.relname || '.' || t.attname, t.attacl, c.relowner FROM pg_class c JOIN pg_attribute t ON t.attrelid = c.oid
    WHERE m.classid = 'pg_class'::regclass AND c.oid = m.objid AND t.attacl IS NOT NULL) o ON true
CROSS JOIN LATERAL aclexplode(o.acl) a
WHERE a.grantee <> o.owner
GROUP BY o.name, a.grantee ORDER BY o.name COLLATE "C", a.grantee::regrole::text COLLATE "C";

-- What has no comment
SELECT pg_describe_object(m.classid, m.objid, 0) FROM members m LEFT JOIN pg_class c ON m.classid = 'pg_class'::regclass AND c.oid = m.objid
WHERE obj_description(m.objid, m.classid::regclass::name) IS NULL
  AND (m.classid = 'pg_proc'::regclass OR (c.relkind IN ('r', 'p', 'v') AND NOT c.relispartition));
SELECT format('%s.%s', c.relname, a.attname) FROM members m JOIN pg_class c ON m.classid = 'pg_class'::regclass AND c.oid = m.objid
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND col_description(c.oid, a.attnum) IS NULL
ORDER BY c.relname COLLATE "C", a.attnum;
