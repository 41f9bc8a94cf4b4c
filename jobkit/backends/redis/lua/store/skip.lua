-- Gives up the sequences below one, and releases the parked jobs that can run then. Takes type, key, sequence.
-- Answers {'skipped', how many}, or {'behind', expected} where there is nothing to be skipped before it.
local function run(a)
  local name, before = name_of(a[1], a[2]), tonumber(a[3])
  local key = load_key(name)
  local expected = key.committed + 1
  if before <= expected then
    return {'behind', whole(expected)}
  end
  -- What is submitted from now on comes after what was given up.
  save_key(key, 'submitted', whole(math.max(key.submitted, before - 1)))
  return {'skipped', give_up(key, expected, before - 1)}
end
