-- Somebody else has just written what this transaction found missing: the same again finds it. The caller repeats the
-- whole transaction, so no lock is ever waited for out of order.
CREATE OR REPLACE FUNCTION jobkit.overtaken(what text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% was written by another transaction at the same time', what USING ERRCODE = '40001';
END $$;
