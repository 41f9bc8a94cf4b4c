-- Jobs that tell of another one's end where that is not a commit: accepted by what ends it.
local function tell(kept, state)
  for _, told in ipairs(kept and kept ~= '' and cjson.decode(kept) or {}) do
    if told.state == state and call('EXISTS', job_at(told.id)) == 0 then
      local digest = told.digest:gsub('%x%x', function(byte) return string.char(tonumber(byte, 16)) end)
      -- Nobody knew when that would be.
      local envelope = told.envelope:gsub('"submitted_at":0%.0', '"submitted_at":' .. MOMENT, 1)
      local key = told.key ~= cjson.null and told.key or NONE
      local new = insert_job({told.id, told.type, key, '', digest, MOMENT, told.trace, told.schema, '', envelope}, 1, 'queued')
      enter(new.id, new.number)
      leave_untold({{new.number}})
    end
  end
end

local function tell_end(job, state)
  tell(call('HGET', job_at(job.id), 'notices'), state)
end
