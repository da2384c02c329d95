SET search_path = re;
\pset null -
SELECT rule_webhook_register('signed', 'https://example.com') AS id \gset

-- Made when none is given: 32 random bytes, each time others.
SELECT rule_webhook_secret_set(:id, 'first') AS secret \gset
SELECT :'secret' ~ '^whsec_[A-Za-z0-9+/]{43}=$' AS well_formed, length(decode(substr(:'secret', 7), 'base64')) AS bytes,
       rule_webhook_secret_set(:id, 'second') <> :'secret' AS another_one;
-- Taken when given, in the place of the one of that name.
SELECT rule_webhook_secret_set(:id, 'first', 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw');
SELECT secret_name, secret = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw' AS given FROM rule_webhook_secrets
WHERE webhook_id = :id ORDER BY secret_name;
SELECT rule_webhook_get('signed') -> 'secret_names' AS names;
-- An ed25519 key: its seed, made when only the prefix is given, or the seed and its public key.
SELECT rule_webhook_secret_set(:id, 'pair', 'whsk_') AS secret \gset
SELECT :'secret' ~ '^whsk_[A-Za-z0-9+/]{43}=$' AS well_formed, length(decode(substr(:'secret', 6), 'base64')) AS bytes,
       rule_webhook_secret_set(:id, 'pair', 'whsk_') <> :'secret' AS another_one;
SELECT rule_webhook_secret_set(:id, 'pair', :'secret') = :'secret' AS taken;
SELECT length(rule_webhook_secret_set(:id, 'pair', 'whsk_' || translate(encode(decode(repeat('00', 64), 'hex'), 'base64'), E'\n', '')));
SELECT rule_webhook_secret_delete(:id, 'pair');

-- An error never repeats a secret.
\a \t
SELECT c.call || E'\n    ' || t.error(c.call)
FROM (VALUES
    ($$SELECT rule_webhook_secret_set(0, 's')$$),
    ($$SELECT rule_webhook_secret_set(NULL, 's')$$),
    ($$SELECT rule_webhook_secret_set(t.id('signed'), NULL)$$),
    ($$SELECT rule_webhook_secret_set(t.id('signed'), '')$$),
    ($$SELECT rule_webhook_secret_set(t.id('signed'), 's', '')$$),
    ($$SELECT rule_webhook_secret_set(t.id('signed'), 's', 'password')$$),
    ($$SELECT rule_webhook_secret_set(t.id('signed'), 's', 'whsec_')$$),
    ($$SELECT rule_webhook_secret_set(t.id('signed'), 's', 'whsec_MfKQ')$$),
    ($$SELECT rule_webhook_secret_set(t.id('signed'), 's', 'whsec_' || encode(decode(repeat('00', 23), 'hex'), 'base64'))$$),
    ($$SELECT rule_webhook_secret_set(t.id('signed'), 's', 'whsec_' || encode(decode(repeat('00', 65), 'hex'), 'base64'))$$),
    ($$SELECT rule_webhook_secret_set(t.id('signed'), 's', 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS')$$),
    ($$SELECT rule_webhook_secret_set(t.id('signed'), 's', E'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n')$$),
    ($$SELECT rule_webhook_secret_set(t.id('signed'), 's', 'whsk_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw')$$),
    ($$SELECT rule_webhook_secret_set(t.id('signed'), 's', 'whsk_' || encode(decode(repeat('00', 33), 'hex'), 'base64'))$$),
    ($$SELECT rule_webhook_secret_set(t.id('signed'), 's', 'whpk_' || encode(decode(repeat('00', 32), 'hex'), 'base64'))$$),
    ($$UPDATE rule_webhook_secrets SET secret = NULL$$),
    ($$UPDATE rule_webhook_secrets SET created_at = NULL$$),
    ($$SELECT rule_webhook_secret_delete(0, 's')$$),
    ($$SELECT rule_webhook_secret_delete(t.id('signed'), NULL)$$)
) AS c (call);
\a \t
SELECT c.bytes, t.error(format('SELECT rule_webhook_secret_set(t.id(''signed''), ''s%s'', ''whsec_%s'')', c.bytes,
                               translate(encode(decode(repeat('00', c.bytes), 'hex'), 'base64'), E'\n', '')))
FROM (VALUES (24), (25), (26), (64)) AS c (bytes);

-- A change of a secret is a change of its webhook for workers; so is an expiry.
SELECT mark AS mark FROM rule_worker_endpoints() LIMIT 1 \gset
SELECT rule_webhook_secret_delete(:id, 'first') AS deleted, rule_webhook_secret_delete(:id, 'first') AS again;
SELECT webhook_name, cardinality(secrets) AS secrets FROM rule_worker_endpoints(:'mark');
SELECT mark AS mark FROM rule_worker_endpoints() LIMIT 1 \gset
SELECT webhook_name FROM rule_worker_endpoints(:'mark');
UPDATE rule_webhook_secrets SET expires_at = now() + interval '1 hour' WHERE secret_name = 'second';
UPDATE rule_webhook_secrets SET expires_at = now() - interval '1 hour' WHERE secret_name = 's24';
SELECT mark AS mark FROM rule_worker_endpoints() LIMIT 1 \gset
SELECT secret_name FROM rule_webhook_secrets WHERE webhook_id = :id ORDER BY secret_name;
UPDATE rule_webhook_secrets SET expires_at = now() - interval '1 hour' WHERE secret_name = 'second';
SELECT webhook_name, cardinality(secrets) AS secrets FROM rule_worker_endpoints(:'mark');
SELECT rule_webhook_delete(:id);
