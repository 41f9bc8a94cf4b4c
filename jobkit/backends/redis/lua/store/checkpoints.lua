-- Returns what a job keeps of its work: of each step its name, version, value, files, time, and when it was first kept.
-- Takes id.
local function run(a)
  local flat, found = call('HGETALL', PREFIX .. 'checkpoints:' .. a[1]), {}
  for place = 1, #flat, 2 do
    local kept = cmsgpack.unpack(flat[place + 1])
    found[#found + 1] = {flat[place], whole(kept[1]), kept[2], kept[3], kept[4], whole(kept[5])}
  end
  return found
end
