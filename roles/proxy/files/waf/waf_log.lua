-- Written by Gatehouse. One line of JSON for each request that the application firewall refused or would have refused.
-- ModSecurity calls it for those only, and nginx reads it at a reload. It writes names, never a value: no query, header,
-- cookie or body can be in it, and what a visitor wrote as a name is masked where it may be more than one.

local FOLDER = "/var/log/nginx/waf/"
local LARGEST = 32 * 1024 * 1024 -- of one day; requests beyond it are refused all the same
local MOST_HITS = 64
local DAY = 86400

local function get(name)
    local value = m.getvar(name)
    return value or ""
end

-- Whether a word may be a token, a number of a card or a text that somebody typed, rather than a name.
local function is_secret(word)
    return #word > 48 or word:find("%d%d%d%d%d%d%d%d%d") or (#word >= 20 and word:find("%d") and not word:find("[_.-]"))
end

local function plain(text, longest)
    return (text:sub(1, longest):gsub("[^%w_.:/%%@+,=~-]", "?"))
end

-- Each part of a path that names one thing among many is `*`, so that requests of a kind group by themselves.
local function path_of(text)
    local path = text:gsub("[^/]+", function(part)
        return (part:find("^%d+$") or is_secret(part)) and "*" or part
    end)
    return (path:sub(1, 200):gsub("[^%w_.:/%%@+,=~*-]", "?"))
end

-- `ARGS:user[name]` as it is; of a name that is none, the collection alone.
local function variable_of(text)
    local collection, name = text:match("^([A-Z_]+):(.*)$")
    if not collection then
        return text:find("^[A-Z_]+$") and text or "?"
    end
    if name:find("[^%w_.:/%[%]*-]") or is_secret(name) then
        return collection .. ":?"
    end
    return collection .. ":" .. name
end

-- The rules that matched, without those that only steer others.
local function hits_of(text)
    local hits, seen = {}, {}
    for id, variable in text:gmatch("|~(%d+)~([^|]*)") do
        -- Five digits are the inventory's own.
        local counts = id:find("^101%d$") or id:find("^%d%d%d%d%d$") or (id:find("^9[1-4]%d%d%d%d$") and not id:find("01[1-8]$"))
        local hit = string.format('["%s","%s"]', id, variable_of(variable))
        if counts and not seen[hit] and #hits < MOST_HITS then
            seen[hit] = true
            hits[#hits + 1] = hit
        end
    end
    return table.concat(hits, ",")
end

local function append(line, time)
    local name = FOLDER .. os.date("!%Y-%m-%d", time) .. ".json"
    local file = io.open(name, "a")
    if not file then
        return
    end
    local size = file:seek("end")
    if size < LARGEST then
        file:setvbuf("full", 65536) -- one write, so that workers do not mix their lines
        file:write(line)
    end
    file:close()
    if size == 0 then -- the first line of a day
        local keep = tonumber(get("TX.gatehouse_waf_days")) or 14
        for age = keep, keep + 60 do
            os.remove(FOLDER .. os.date("!%Y-%m-%d", time - age * DAY) .. ".json")
        end
    end
end

function main()
    local time = os.time()
    local mode = get("TX.gatehouse_waf_mode")
    append(string.format(
        '{"time":%d,"request_id":"%s","client":"%s","host":"%s","method":"%s","path":"%s","refused":%s,"score":%d,"hits":[%s]}\n',
        time, plain(get("UNIQUE_ID"), 128), plain(get("REMOTE_ADDR"), 64), plain(get("REQUEST_HEADERS.Host"), 128),
        plain(get("REQUEST_METHOD"), 16), path_of(get("REQUEST_FILENAME")), tostring(mode == "block"),
        tonumber(get("TX.anomaly_score")) or 0, hits_of(get("TX.gatehouse_waf_hits"))), time)
end
