-- In front of the scripts that read settings: the value of three copies, and whether they are damaged. A single copy is that of
-- release 0.1.
local function vote(a, b, c)
  if a and (a == b or a == c) then return a end
  if b and b == c then return b end
  local count = (a and 1 or 0) + (b and 1 or 0) + (c and 1 or 0)
  return count == 1 and (a or b or c) or nil, count > 1
end
