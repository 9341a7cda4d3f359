-- A Wireshark dissector for the frames and records of ToM/1, as they are inside a decrypted link.
-- In a capture of link type USER0 each packet is a frame, of USER1 the plaintext of a Noise message: records.
--   tshark -X lua_script:tom.lua -r frames.pcap -V

local structures = {
-- STRUCTURES
}

local frames = {
-- FRAMES
}

local records = {
-- RECORDS
}

local tom = Proto("tom", "ToM/1 frame")
local tom_records = Proto("tom_records", "ToM/1 records")
local uints = { [1] = ProtoField.uint8, [2] = ProtoField.uint16, [4] = ProtoField.uint32, [8] = ProtoField.uint64 }
local fields, all = {}, {}

for structure, members in pairs(structures) do
  fields[structure] = {}
  for _, member in ipairs(members) do
    local name = "tom." .. structure .. "." .. member.name
    local make = member.kind == "uint" and uints[member.size] or ProtoField.bytes
    local field
    if member.kind == "uint" then
      field = make(name, member.name, base.DEC, nil, nil, member.note)
    else
      field = make(name, member.name, base.NONE, member.note)
    end
    fields[structure][member.name] = field
    table.insert(all, field)
  end
end
tom.fields = all
local cut = ProtoExpert.new("tom.cut", "ends before the value does", expert.group.MALFORMED, expert.severity.ERROR)
local rest = ProtoExpert.new("tom.rest", "goes on after the value", expert.group.MALFORMED, expert.severity.ERROR)
tom.experts = { cut, rest }

local follow

-- Adds one structure to the tree; returns the position behind it, or nil when the bytes end before.
follow = function(structure, buffer, at, stop, tree)
  local values = {}
  for _, member in ipairs(structures[structure]) do
    local field = fields[structure][member.name]
    local size = member.size
    if member.kind == "uint" then
      if at + size > stop then return nil end
      local range = buffer(at, size)
      values[member.name] = size == 8 and 0 or range:uint()
      tree:add(field, range)
      at = at + size
    elseif member.kind == "bytes" then
      if at + size > stop then return nil end
      tree:add(field, buffer(at, size))
      at = at + size
    elseif member.kind == "rest" then
      if stop > at then tree:add(field, buffer(at, stop - at)) end
      at = stop
    elseif member.kind == "sized" then
      size = values[member.length]
      if at + size > stop then return nil end
      local inside = member.of or (member.by and records[values[member.by]])
      if size > 0 then
        local branch = tree:add(field, buffer(at, size))
        if inside and not follow(inside, buffer, at, at + size, branch) then return nil end
      end
      at = at + size
    elseif member.kind == "nested" then
      local branch = tree:add(structure .. "." .. member.name)
      at = follow(member.of, buffer, at, stop, branch)
      if not at then return nil end
    elseif member.kind == "list" then
      for index = 0, values[member.count] - 1 do
        if member.of then
          local branch = tree:add(member.of .. " " .. index)
          at = follow(member.of, buffer, at, stop, branch)
          if not at then return nil end
        else
          if at + size > stop then return nil end
          tree:add(field, buffer(at, size))
          at = at + size
        end
      end
    end
  end
  return at
end

function tom.dissector(buffer, packet, tree)
  local kind = buffer(0, 1):uint()
  local name = frames[kind]
  packet.cols.protocol = "ToM"
  packet.cols.info = name or string.format("unknown frame 0x%02x", kind)
  local branch = tree:add(tom, buffer(), "ToM/1 " .. (name or "unknown frame"))
  if not name then return end
  local at = follow(name, buffer, 0, buffer:len(), branch)
  if not at then
    branch:add_proto_expert_info(cut)
  elseif at < buffer:len() then
    branch:add_proto_expert_info(rest)
  end
end

function tom_records.dissector(buffer, packet, tree)
  local at = 0
  packet.cols.protocol = "ToM"
  while at and at < buffer:len() do
    local kind = buffer(at, 1):uint()
    packet.cols.info = records[kind] or string.format("unknown record 0x%02x", kind)
    local branch = tree:add(tom, buffer(at), "ToM/1 " .. (records[kind] or "unknown record"))
    at = follow("record", buffer, at, buffer:len(), branch)
    if not at then branch:add_proto_expert_info(cut) end
  end
end

DissectorTable.get("wtap_encap"):add(wtap.USER0, tom)
DissectorTable.get("wtap_encap"):add(wtap.USER1, tom_records)
