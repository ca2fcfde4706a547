-- Custom SQL migration: settings get names in capitals.
-- Older rows say 'closed'; newer ones say 'SIGN_UP'. UPDATE config SET id = 'EXAMPLE' is how to add another.

UPDATE config
SET id = 'SIGN_UP', updated_at = NOW()
WHERE id = 'sign_up';
