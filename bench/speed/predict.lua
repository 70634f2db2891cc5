-- wrk: POST the bodies of a file, one a line, in turn, and print the figures as one line of JSON.
--
-- With a file of expected answers (a line for each editor: id, prediction, score, band, by tabs) every answer is compared
-- with it, and those that differ are counted as wrong.

local ROUNDING = 1e-6 -- of a score: sums of float32 depend on the size of the batch
local requests, place = {}, 0
local expected, size, version = {}, 0, ""
local threads = {}
checked, wrong = 0, 0

-- Whether a part of an answer has, for so many editors, what `is_right(id, value)` says it must have.
local function agrees(body, part, pattern, is_right)
  local object = body:match('"' .. part .. '":{([^}]*)}')
  if not object then
    return false
  end
  local count = 0
  for id, value in object:gmatch('"([^"]+)":' .. pattern) do
    if not (expected[id] and is_right(expected[id], value)) then
      return false
    end
    count = count + 1
  end
  return count == size
end

local function check(status, _, body)
  checked = checked + 1
  local right = status == 200
    and body:find('"weights":"' .. version .. '"', 1, true)
    and agrees(body, "predictions", '"([^"]*)"', function(editor, value) return value == editor.prediction end)
    and agrees(body, "bands", '"([^"]*)"', function(editor, value) return value == editor.band end)
    and agrees(body, "scores", "([^,]+)", function(editor, value)
      return math.abs(tonumber(value) - editor.score) <= ROUNDING
    end)
  if not right then
    wrong = wrong + 1
  end
end

function setup(thread)
  threads[#threads + 1] = thread
end

function init(arguments)
  local file, path, token = arguments[1], arguments[2], arguments[3]
  local headers = {
    ["Content-Type"] = "application/json",
    ["Authorization"] = "Bearer " .. token,
  }
  for body in io.lines(file) do
    requests[#requests + 1] = wrk.format("POST", path, headers, body)
  end
  if arguments[4] then
    size, version = tonumber(arguments[5]), arguments[6]
    for line in io.lines(arguments[4]) do
      local id, prediction, score, band = line:match("^([^\t]*)\t([^\t]*)\t([^\t]*)\t([^\t]*)$")
      expected[id] = {prediction = prediction, score = tonumber(score), band = band}
    end
    response = check
  end
end

function request()
  place = place % #requests + 1
  return requests[place]
end

function done(summary, latency, _)
  local errors = summary.errors
  local all_checked, all_wrong = 0, 0
  for _, thread in ipairs(threads) do
    all_checked, all_wrong = all_checked + thread:get("checked"), all_wrong + thread:get("wrong")
  end
  print(string.format(
    '\nRESULT {"requests": %d, "seconds": %f, "p50": %f, "p99": %f, "failed": %d, "checked": %d, "wrong": %d}',
    summary.requests,
    summary.duration / 1e6,
    latency:percentile(50) / 1e3,
    latency:percentile(99) / 1e3,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout,
    all_checked,
    all_wrong
  ))
end
