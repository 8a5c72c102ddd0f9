-- Agreement: Multi-Paxos over two slots, with a log replica that votes but never leads.
-- tests/models/README.md says what each rule stands for in the code, and what is left out.

const
  BALLOTS: 3;
  SLOTS: 2;
  MAJORITY: 2;

  -- Broken on purpose: 1 breaks a rule, and an invariant has to notice
  FORGETS_PROMISE: 0;   -- an acceptor that restarts does not remember its promise
  FORGETS_ENTRY: 0;     -- an acceptor that restarts does not have what it acknowledged last
  TAKES_LOWEST: 0;      -- a candidate takes what was accepted at the lowest ballot
  ACCEPTS_HOLE: 0;      -- an acceptor takes entries whatever comes before them
  VOUCHES_FOR_ALL: 0;   -- an acceptor acknowledges its whole log, from whomever it has it
  REUSES_BALLOT: 0;     -- a leader that restarts stands again at the ballot that it led at
  LOG_REPLICA_LEADS: 0; -- the log replica stands like everybody else

type
  node: scalarset(3);
  ballot: 1..BALLOTS;
  ballot0: 0..BALLOTS;
  slot: 1..SLOTS;
  slot0: 0..SLOTS;
  value0: 0..BALLOTS;                                 -- 0: none; each ballot has a value of its own to propose
  phase: enum { IDLE, ASKING, LEADING };

var
  log_replica: node;

  -- On each node's disk
  promised: array[node] of ballot0;
  log_ballot: array[node] of array[slot] of ballot0;  -- 0: nothing accepted
  log_value: array[node] of array[slot] of value0;

  -- One attempt to lead, in its owner's memory
  owner: array[ballot] of node;
  state: array[ballot] of phase;
  from: array[ballot] of slot0;                       -- ASKING: the first slot that the candidate asked about
  voted: array[ballot] of array[node] of boolean;     -- ASKING: whose promises it has, and what they told
  best_ballot: array[ballot] of array[slot] of ballot0;
  best_value: array[ballot] of array[slot] of value0;
  acked: array[ballot] of array[node] of slot0;       -- LEADING: up to where each disk has what it proposed

  -- On the way, for as long as anybody may take it: lost, repeated, late, in any order
  proposed: array[ballot] of array[slot] of value0;
  told: array[ballot] of slot0;                       -- the commit slot that goes with it

  -- What has been committed, and clients may have been told
  acknowledged: array[slot] of value0;

procedure end_attempt(b: ballot);
begin
  state[b] := IDLE;
  from[b] := 0;
  for n: node do voted[b][n] := false; acked[b][n] := 0; end;
  for s: slot do best_ballot[b][s] := 0; best_value[b][s] := 0; end;
end;

procedure step_down(n: node);
begin
  for b: ballot do
    if state[b] != IDLE & owner[b] = n then end_attempt(b); end;
  end;
end;

-- A message that everybody would refuse is forgotten: states that differ in nothing else are one.
procedure tidy();
var is_dead: boolean;
begin
  for b: ballot do
    is_dead := FORGETS_PROMISE = 0;
    for n: node do if promised[n] <= b then is_dead := false; end; end;
    if is_dead then
      undefine owner[b];
      told[b] := 0;
      for s: slot do proposed[b][s] := 0; end;
    end;
  end;
end;

procedure raise_promise(n: node; b: ballot);
begin
  if b > promised[n] then
    step_down(n);
    promised[n] := b;
    tidy();
  end;
end;

function is_better(b: ballot; n: node; s: slot): boolean;
begin
  if TAKES_LOWEST = 1 & best_ballot[b][s] > 0 then
    return log_ballot[n][s] > 0 & log_ballot[n][s] < best_ballot[b][s];
  end;
  return log_ballot[n][s] > best_ballot[b][s];
end;

procedure tell(b: ballot; n: node);
begin
  voted[b][n] := true;
  for s: slot do
    if s >= from[b] & is_better(b, n, s) then
      best_ballot[b][s] := log_ballot[n][s];
      best_value[b][s] := log_value[n][s];
    end;
  end;
end;

-- Up to where a node may know that its log is committed. What it knows it may have from anybody, and may have forgotten.
function commit(n: node): slot0;
var last: slot0;
begin
  last := 0;
  for s: slot do if s = last + 1 & acknowledged[s] > 0 & log_value[n][s] = acknowledged[s] then last := s; end; end;
  return last;
end;

-- Up to where a node's log agrees with that of the leader of `promised`.
function matched(n: node): slot0;
var last: slot0;
begin
  last := commit(n);
  for s: slot do
    if s = last + 1 & promised[n] > 0
      & (log_ballot[n][s] = promised[n] | (VOUCHES_FOR_ALL = 1 & log_ballot[n][s] > 0))
    then
      last := s;
    end;
  end;
  return last;
end;

procedure advance_commit(b: ballot);
var count: 0..3;
begin
  for s: slot do
    count := 0;
    for n: node do if acked[b][n] >= s then count := count + 1; end; end;
    if s = told[b] + 1 & count >= MAJORITY then
      told[b] := s;
      if acknowledged[s] = 0 then acknowledged[s] := proposed[b][s]; end;
    end;
  end;
  for n: node do if acked[b][n] <= told[b] then acked[b][n] := 0; end; end;
end;

ruleset k: node do
  startstate "born"
  begin
    log_replica := k;
    for n: node do
      promised[n] := 0;
      for s: slot do log_ballot[n][s] := 0; log_value[n][s] := 0; end;
    end;
    for b: ballot do
      undefine owner[b];
      told[b] := 0;
      end_attempt(b);
      for s: slot do proposed[b][s] := 0; end;
    end;
    for s: slot do acknowledged[s] := 0; end;
  end;
end;

-- Phase 1

-- The candidate begins to count with the first promise of another: before that nobody has changed.
ruleset n: node; m: node; b: ballot do
  ruleset s: slot do
    rule "stand"
      n != m & (n != log_replica | LOG_REPLICA_LEADS = 1) & (isundefined(owner[b]) | owner[b] = n) & state[b] = IDLE
      & (b > promised[n] | (REUSES_BALLOT = 1 & b = promised[n])) & b >= promised[m] & s <= commit(n) + 1
    ==> begin
      step_down(n);
      raise_promise(m, b);
      owner[b] := n;
      state[b] := ASKING;
      from[b] := s;
      tell(b, m);
    end;
  end;

  rule "promise in vain"
    n != m & n != log_replica & (isundefined(owner[b]) | owner[b] = n)
    & b > promised[m]
  ==> begin
    raise_promise(m, b);
    owner[b] := n;
    tidy();
  end;
end;

ruleset n: node; b: ballot do
  rule "promise"
    state[b] = ASKING & owner[b] != n & !voted[b][n]
    & b >= promised[n]
  ==> begin
    raise_promise(n, b);
    tell(b, n);
  end;
end;

-- The candidate promises itself last.
ruleset b: ballot do
  rule "win"
    state[b] = ASKING & (promised[owner[b]] < b | (REUSES_BALLOT = 1 & promised[owner[b]] = b))
  ==> begin
    promised[owner[b]] := b;
    tell(b, owner[b]);
    told[b] := from[b] - 1;
    for s: slot do
      if s >= from[b] then
        if best_ballot[b][s] > 0 then proposed[b][s] := best_value[b][s]; else proposed[b][s] := b; end;
      end;
    end;
    end_attempt(b);
    state[b] := LEADING;
    tidy();
  end;
end;

-- Phase 2

ruleset n: node; b: ballot; s: slot do
  rule "accept"
    proposed[b][s] > 0
    & promised[n] <= b
    & (s <= commit(n) + 1 | (promised[n] = b & s <= matched(n) + 1) | ACCEPTS_HOLE = 1) & log_ballot[n][s] != b
  ==> begin
    raise_promise(n, b);
    log_ballot[n][s] := b;
    log_value[n][s] := proposed[b][s];
    if state[b] = LEADING & matched(n) > acked[b][n] then acked[b][n] := matched(n); advance_commit(b); end;
  end;
end;

ruleset n: node; b: ballot do
  rule "acknowledge"
    state[b] = LEADING & promised[n] = b & matched(n) > acked[b][n] & matched(n) > told[b]
  ==> begin
    acked[b][n] := matched(n);
    advance_commit(b);
  end;
end;

-- From any member that knows more to be committed; who leads needs nothing.
ruleset n: node; m: node; s: slot do
  rule "catch up"
    s <= commit(m) & s <= commit(n) + 1 & log_ballot[n][s] != log_ballot[m][s]
    & (promised[n] = 0 | state[promised[n]] != LEADING | owner[promised[n]] != n)
  ==> begin
    log_ballot[n][s] := log_ballot[m][s];
    log_value[n][s] := log_value[m][s];
  end;
end;

-- An attempt ends with its owner's process, or because the owner gives up. Disks keep what they have.
ruleset b: ballot do
  rule "restart"
    state[b] != IDLE
  ==> begin
    end_attempt(b);
  end;
end;

-- Broken on purpose

ruleset n: node do
  rule "forget the promise"
    FORGETS_PROMISE = 1 & promised[n] > 0
  ==> begin
    step_down(n);
    promised[n] := 0;
    for s: slot do if log_ballot[n][s] > promised[n] then promised[n] := log_ballot[n][s]; end; end;
  end;

  rule "forget the last entry"
    FORGETS_ENTRY = 1 & log_ballot[n][1] > 0
  ==> begin
    step_down(n);
    if log_ballot[n][2] > 0 then
      log_ballot[n][2] := 0; log_value[n][2] := 0;
    else
      log_ballot[n][1] := 0; log_value[n][1] := 0;
    end;
  end;
end;

invariant "one value a slot"
  forall b: ballot do forall s: slot do
    (s <= told[b] & proposed[b][s] > 0) -> proposed[b][s] = acknowledged[s]
  end end;

invariant "what a follower applies was acknowledged"
  forall n: node do promised[n] > 0 ->
    forall s: slot do
      (s <= told[promised[n]] & s <= matched(n)) -> log_value[n][s] = acknowledged[s]
    end
  end;

invariant "what was acknowledged is on two disks"
  forall s: slot do acknowledged[s] > 0 ->
    exists n: node do exists m: node do
      n != m & log_value[n][s] = acknowledged[s] & log_value[m][s] = acknowledged[s]
    end end
  end;

invariant "no log has a hole"
  forall n: node do log_ballot[n][2] > 0 -> log_ballot[n][1] > 0 end;

invariant "the log replica leads nowhere"
  forall b: ballot do state[b] != IDLE -> owner[b] != log_replica end;
