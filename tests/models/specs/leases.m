-- Leases: grants between nodes whose clocks do not run at the same rate, elections, restarts and hand-overs.
-- tests/models/README.md says what each rule stands for in the code, and what is left out.

const
  BALLOTS: 2;
  GRANT_TICKS: 2;
  MARGIN_TICKS: 1;

  -- Broken on purpose: 1 breaks a rule, and an invariant has to notice
  NO_MARGIN: 0;           -- a leader takes the grantor's clock to be as fast as its own
  DATED_FROM_GRANT: 0;    -- a leader counts from when the grant came, not from when it asked
  IGNORES_GRANT: 0;       -- a node promises although its grant to the leader in force binds it
  IGNORES_EPOCH: 0;       -- a leader counts a grant although the grantor may have elected somebody else before it
  VOTES_AT_ONCE: 0;       -- a node that restarts does not wait until what it granted has run out
  SERVES_RELEASED: 0;     -- a leader serves on when it has let go

type
  node: scalarset(3);
  ballot: 1..BALLOTS;
  ballot0: 0..BALLOTS;
  ticks: 0..GRANT_TICKS;
  wait_ticks: 0..GRANT_TICKS + MARGIN_TICKS;
  epoch: enum { NONE, OLDER, OLD, CURRENT };          -- of the grants from one node to another: the latest, the one before
  phase: enum { FRESH, ASKING, LEADING, ENDED };

var
  -- Clocks: a slow one misses one tick in GRANT_TICKS
  is_slow: array[node] of boolean;
  time: 0..GRANT_TICKS - 1;

  promised: array[node] of ballot0;                   -- on disk
  waiting: array[node] of wait_ticks;                 -- after a restart

  -- One attempt to lead
  owner: array[ballot] of node;
  state: array[ballot] of phase;
  voted: array[ballot] of array[node] of boolean;
  support: array[ballot] of array[node] of epoch;     -- in which a node last promised or accepted here
  is_released: array[ballot] of boolean;
  has_won: array[ballot] of boolean;

  -- Grants, by grantor and grantee: on the grantor's clock
  bound: array[node] of array[node] of ticks;
  -- ... by grantee and grantor: on the grantee's clock, how long the grant will hold. On its way, received
  message: array[node] of array[node] of ticks;
  message_epoch: array[node] of array[node] of epoch; -- NONE: asked for, not given yet
  held: array[node] of array[node] of ticks;
  held_epoch: array[node] of array[node] of epoch;

function held_ticks(): ticks;
begin
  if NO_MARGIN = 1 then return GRANT_TICKS; end;
  return GRANT_TICKS - MARGIN_TICKS;
end;

function is_leading(n: node): boolean;
var is_so: boolean;
begin
  is_so := false;
  for b: ballot do
    if state[b] = LEADING & owner[b] = n then is_so := true; end;
  end;
  return is_so;
end;

function is_standing(n: node): boolean;
var is_so: boolean;
begin
  is_so := false;
  for b: ballot do if state[b] = ASKING & owner[b] = n then is_so := true; end; end;
  return is_so;
end;

-- Grants to a node that leads nowhere are forgotten (on both sides): they bind nobody and serve nobody.
procedure tidy();
begin
  for n: node do
    for m: node do
      if !is_leading(n) then
        bound[m][n] := 0;
        message[n][m] := 0;
        held[n][m] := 0;
      end;
      if message[n][m] = 0 then message_epoch[n][m] := NONE; end;
      if held[n][m] = 0 then held_epoch[n][m] := NONE; end;
    end;
  end;
end;

-- The grant of m to n has run out, or is forgotten: the next one will be of another epoch.
procedure end_epoch(m: node; n: node);
begin
  bound[m][n] := 0;
  if message_epoch[n][m] = OLD then message_epoch[n][m] := OLDER; end;
  if message_epoch[n][m] = CURRENT then message_epoch[n][m] := OLD; end;
  if held_epoch[n][m] = OLD then held_epoch[n][m] := OLDER; end;
  if held_epoch[n][m] = CURRENT then held_epoch[n][m] := OLD; end;
  for b: ballot do
    if !isundefined(owner[b]) & owner[b] = n then
      if support[b][m] = OLD then support[b][m] := NONE; end;
      if support[b][m] = CURRENT then support[b][m] := OLD; end;
    end;
  end;
end;

procedure end_attempt(b: ballot);
begin
  state[b] := ENDED;
  for n: node do voted[b][n] := false; support[b][n] := NONE; end;
end;

procedure step_down(n: node);
begin
  for b: ballot do
    if (state[b] = ASKING | state[b] = LEADING) & owner[b] = n then end_attempt(b); end;
  end;
end;

-- Whether the leader of a ballot may answer reads.
function has_lease(b: ballot): boolean;
var count: 0..3;
begin
  if state[b] != LEADING then return false; end;
  count := 1;
  for n: node do
    if n != owner[b] & held[owner[b]][n] > 0 & (IGNORES_EPOCH = 1 | held_epoch[owner[b]][n] = support[b][n]) then
      count := count + 1;
    end;
  end;
  return count >= 2;
end;

-- Whether a grant in force forbids n to help a candidate (itself perhaps).
function is_bound(n: node; candidate: node): boolean;
begin
  for b: ballot do
    if state[b] = LEADING & owner[b] = n then return has_lease(b); end;
  end;
  if promised[n] = 0 | IGNORES_GRANT = 1 then return false; end;
  if owner[promised[n]] = n | owner[promised[n]] = candidate | is_released[promised[n]] then return false; end;
  return bound[n][owner[promised[n]]] > 0;
end;

startstate "born"
begin
  time := 0;
  for n: node do
    is_slow[n] := false;
    promised[n] := 0;
    waiting[n] := 0;
    for m: node do
      bound[n][m] := 0;
      message[n][m] := 0;
      message_epoch[n][m] := NONE;
      held[n][m] := 0;
      held_epoch[n][m] := NONE;
    end;
  end;
  for b: ballot do
    undefine owner[b];
    state[b] := FRESH;
    is_released[b] := false;
    has_won[b] := false;
    for n: node do voted[b][n] := false; support[b][n] := NONE; end;
  end;
end;

-- Before anything has happened: whose clock is slow, if any is.
ruleset n: node do
  rule "run slow"
    !is_slow[n] & (forall m: node do !is_slow[m] end) & forall b: ballot do state[b] = FRESH end & time = 0
  ==> begin
    is_slow[n] := true;
  end;
end;

rule "tick"
  exists b: ballot do state[b] != FRESH end
==> begin
  for n: node do
    if !(is_slow[n] & time = 0) then
      if waiting[n] > 0 then waiting[n] := waiting[n] - 1; end;
      for m: node do
        if bound[n][m] > 1 then bound[n][m] := bound[n][m] - 1; elsif bound[n][m] = 1 then end_epoch(n, m); end;
        -- A grant that is dated when it comes may come however late.
        if message[n][m] > 0 & DATED_FROM_GRANT = 0 then message[n][m] := message[n][m] - 1; end;
        if held[n][m] > 0 then held[n][m] := held[n][m] - 1; end;
      end;
    end;
  end;
  time := (time + 1) % GRANT_TICKS;
  tidy();
end;

-- Grants

ruleset n: node; m: node do
  rule "ask for a grant"
    n != m & is_leading(n) & (message_epoch[n][m] != NONE | message[n][m] < held_ticks())
  ==> begin
    message[n][m] := held_ticks();
    message_epoch[n][m] := NONE;
  end;

  rule "grant"
    n != m & message[n][m] > 0 & message_epoch[n][m] = NONE & waiting[m] = 0
  ==> begin
    bound[m][n] := GRANT_TICKS;
    message_epoch[n][m] := CURRENT;
  end;

  rule "receive a grant"
    message_epoch[n][m] != NONE & (message_epoch[n][m] = CURRENT | held_epoch[n][m] != CURRENT)
  ==> begin
    if DATED_FROM_GRANT = 1 then
      held[n][m] := held_ticks();
    elsif message_epoch[n][m] != held_epoch[n][m] | message[n][m] > held[n][m] then
      held[n][m] := message[n][m];
    end;
    held_epoch[n][m] := message_epoch[n][m];
    message[n][m] := 0;
    tidy();
  end;
end;

-- Elections

ruleset n: node; b: ballot do
  rule "stand"
    state[b] = FRESH & b > promised[n] & waiting[n] = 0 & !is_bound(n, n)
  ==> begin
    step_down(n);
    owner[b] := n;
    state[b] := ASKING;
    tidy();
  end;

  rule "promise"
    state[b] = ASKING & owner[b] != n & !voted[b][n] & b >= promised[n] & waiting[n] = 0 & !is_bound(n, owner[b])
  ==> begin
    step_down(n);
    promised[n] := b;
    voted[b][n] := true;
    if bound[n][owner[b]] > 0 then support[b][n] := CURRENT; else support[b][n] := OLD; end;
    tidy();
  end;

  -- Also what a leader sends to learn how far a follower is
  rule "accept"
    state[b] = LEADING & owner[b] != n & b >= promised[n]
    & (promised[n] < b | support[b][n] = NONE | (support[b][n] = OLD & bound[n][owner[b]] > 0) | is_standing(n))
  ==> begin
    step_down(n);
    promised[n] := b;
    if bound[n][owner[b]] > 0 then support[b][n] := CURRENT; else support[b][n] := OLD; end;
    tidy();
  end;
end;

ruleset b: ballot do
  rule "win"
    state[b] = ASKING & promised[owner[b]] < b & exists n: node do voted[b][n] end
  ==> begin
    promised[owner[b]] := b;
    state[b] := LEADING;
    has_won[b] := true;
    for n: node do voted[b][n] := false; end;
  end;

  rule "give up"
    state[b] = ASKING | state[b] = LEADING
  ==> begin
    end_attempt(b);
    tidy();
  end;

  rule "release"
    !is_released[b] & (state[b] = ENDED | (SERVES_RELEASED = 1 & state[b] = LEADING))
  ==> begin
    is_released[b] := true;
  end;
end;

ruleset n: node do
  rule "restart"
    is_leading(n) | is_standing(n) | exists m: node do bound[n][m] > 0 end
  ==> begin
    step_down(n);
    for m: node do
      end_epoch(n, m);
      message[n][m] := 0;
      held[n][m] := 0;
    end;
    if VOTES_AT_ONCE = 0 then waiting[n] := GRANT_TICKS + MARGIN_TICKS; end;
    tidy();
  end;
end;

invariant "nobody has been elected above a leader that has its lease"
  forall b: ballot do has_lease(b) -> !exists c: ballot do c > b & has_won[c] end end;

invariant "two leaders never both have their lease"
  forall b: ballot do forall c: ballot do (b < c & has_lease(b)) -> !has_lease(c) end end;
