-- Trimming: what a log may let go of, and how who lacks it gets it. Multi-Paxos over two slots, with checkpoints,
-- crashes, snapshots that are installed a part at a time, and a log replica whose log begins later.
-- tests/models/README.md says what each rule stands for in the code, and what is left out.

const
  BALLOTS: 2;
  SLOTS: 2;
  MAJORITY: 2;

  -- Broken on purpose: 1 breaks a rule, and an invariant has to notice
  TRIMS_UNCHECKPOINTED: 0;  -- a log lets go of what is applied, whether a checkpoint has it or not
  TRIM_DROPS_PROMISE: 0;    -- a promise goes with the part of the log that it is in
  TRUSTS_TRIMMED: 0;        -- a candidate counts the promise of who has trimmed what it lacks
  CHECKPOINT_AHEAD: 0;      -- a checkpoint claims a slot that has not been applied
  APPLIES_EARLY: 0;         -- what is accepted is applied, committed or not
  TAKES_OLD: 0;             -- a snapshot is taken that is behind the log
  RESET_DROPS_TAIL: 0;      -- what a log has behind a snapshot goes with what the snapshot stands for
  APPLIES_HOLE: 0;          -- what a log has behind a snapshot, and knows to be committed, is not applied again
  INSTALL_FORGOTTEN: 0;     -- a crash in the midst of a snapshot is not remembered
  LEADS_WHILE_RESTORING: 0; -- a member that has no state stands like everybody else
  LETS_GO_UNHELD: 0;        -- a log replica lets go of what others may not have

type
  node: scalarset(3);
  ballot: 1..BALLOTS;
  ballot0: 0..BALLOTS;
  slot: 1..SLOTS;
  slot0: 0..SLOTS;
  value0: 0..BALLOTS;                                 -- 0: none; each ballot has a value of its own to propose

var
  log_replica: node;                                  -- it has no state at first, and never leads

  -- On each node's disk
  promised: array[node] of ballot0;
  trimmed: array[node] of slot0;                      -- the log begins behind this
  log_ballot: array[node] of array[slot] of ballot0;  -- 0: nothing accepted, or trimmed
  log_value: array[node] of array[slot] of value0;
  checkpoint: array[node] of slot0;                   -- the state is there as of this slot
  is_restoring: array[node] of boolean;               -- ... or was: a snapshot is to take its place

  -- In its memory
  commit: array[node] of slot0;                       -- known to be committed, and applied
  state: array[node] of array[slot] of value0;        -- what was applied; up to `checkpoint` it is on disk

  -- One attempt to lead, in its owner's memory
  owner: array[ballot] of node;
  is_leading: array[ballot] of boolean;
  acked: array[ballot] of array[node] of slot0;       -- up to where each disk has what it proposed

  -- On the way, for as long as anybody may take it: lost, repeated, late, in any order
  proposed: array[ballot] of array[slot] of value0;
  told: array[ballot] of slot0;                       -- the commit slot that goes with it

  -- What has been committed, and clients may have been told
  acknowledged: array[slot] of value0;

procedure end_attempt(b: ballot);
begin
  is_leading[b] := false;
  for n: node do acked[b][n] := 0; end;
end;

function leads(n: node): boolean;
begin
  return exists b: ballot do is_leading[b] & owner[b] = n end;
end;

procedure step_down(n: node);
begin
  for b: ballot do
    if is_leading[b] & owner[b] = n then end_attempt(b); end;
  end;
end;

-- A message that everybody would refuse is forgotten: states that differ in nothing else are one.
procedure tidy();
var is_dead: boolean;
begin
  for b: ballot do
    is_dead := TRIM_DROPS_PROMISE = 0;
    for n: node do if promised[n] <= b then is_dead := false; end; end;
    if is_dead then
      undefine owner[b];
      told[b] := 0;
      for s: slot do proposed[b][s] := 0; end;
    end;
  end;
end;

procedure raise_promise(n: node; b: ballot0);
begin
  if b > promised[n] then
    step_down(n);
    promised[n] := b;
    tidy();
  end;
end;

-- Up to where a node's log agrees with that of the leader of `promised`.
function matched(n: node): slot0;
var last: slot0;
begin
  last := commit[n];
  for s: slot do
    if s = last + 1 & promised[n] > 0 & log_ballot[n][s] = promised[n] then last := s; end;
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

procedure cut(n: node; last: slot0);
begin
  for s: slot do if s <= last then log_ballot[n][s] := 0; log_value[n][s] := 0; end; end;
  if last > trimmed[n] then trimmed[n] := last; end;
end;

-- What a node knows to be committed it applies; one that is restoring has nothing to apply it to.
procedure learn(n: node; s: slot);
begin
  commit[n] := s;
  if !is_restoring[n] then state[n][s] := log_value[n][s]; end;
end;

-- Whether a promise says all that was accepted behind what the candidate knows to be committed.
function tells(m: node; n: node): boolean;
begin
  return trimmed[m] <= commit[n] | TRUSTS_TRIMMED = 1;
end;

-- What a candidate proposes that has promises of all but `absent`.
procedure lead(n: node; b: ballot; absent: node);
var best: ballot0;
begin
  for p: node do if p != absent | p = n then raise_promise(p, b); end; end;
  owner[b] := n;
  is_leading[b] := true;
  told[b] := commit[n];
  for s: slot do
    if s > told[b] then
      best := 0;
      proposed[b][s] := b;
      for p: node do
        if (p != absent | p = n) & log_ballot[p][s] > best then
          best := log_ballot[p][s];
          proposed[b][s] := log_value[p][s];
        end;
      end;
    end;
  end;
  tidy();
end;

ruleset k: node do
  startstate "born"
  begin
    log_replica := k;
    for n: node do
      promised[n] := 0;
      trimmed[n] := 0;
      checkpoint[n] := 0;
      is_restoring[n] := (n = log_replica);
      commit[n] := 0;
      for s: slot do log_ballot[n][s] := 0; log_value[n][s] := 0; state[n][s] := 0; end;
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

-- Phase 1, with all promises or those of two, at one moment: what may happen while it lasts is for `agreement`

ruleset n: node; b: ballot do
  rule "lead with all"
    n != log_replica & (!is_restoring[n] | LEADS_WHILE_RESTORING = 1)
    & (isundefined(owner[b]) | owner[b] = n) & !is_leading[b] & b > promised[n]
    & forall m: node do m != n -> b >= promised[m] & tells(m, n) end
  ==> begin
    lead(n, b, n);
  end;
end;

ruleset n: node; m: node; b: ballot do
  rule "lead"
    n != m & n != log_replica & (!is_restoring[n] | LEADS_WHILE_RESTORING = 1)
    & (isundefined(owner[b]) | owner[b] = n) & !is_leading[b] & b > promised[n] & b >= promised[m] & tells(m, n)
  ==>
  var absent: node;
  begin
    for p: node do if p != n & p != m then absent := p; end; end;
    lead(n, b, absent);
  end;

  -- The answer is lost, or its candidate has given up; or word of a leader comes before what it proposes
  rule "promise in vain"
    n != m & n != log_replica & (isundefined(owner[b]) ? b = BALLOTS : owner[b] = n) & b > promised[m]
  ==> begin
    raise_promise(m, b);
    owner[b] := n;
    tidy();
  end;
end;

-- Phase 2

ruleset n: node; b: ballot; s: slot do
  rule "accept"
    proposed[b][s] > 0 & promised[n] <= b & s > commit[n]
    & (s = commit[n] + 1 | (promised[n] = b & s <= matched(n) + 1)) & log_ballot[n][s] != b
  ==> begin
    raise_promise(n, b);
    log_ballot[n][s] := b;
    log_value[n][s] := proposed[b][s];
    if is_leading[b] & matched(n) > acked[b][n] then acked[b][n] := matched(n); advance_commit(b); end;
  end;
end;

ruleset n: node; b: ballot do
  rule "acknowledge"
    is_leading[b] & promised[n] = b & matched(n) > acked[b][n] & matched(n) > told[b]
  ==> begin
    acked[b][n] := matched(n);
    advance_commit(b);
  end;
end;

-- Who leads knows what is committed before anybody else, and applies it when it is on its own disk.
ruleset n: node do
  rule "learn"
    commit[n] < SLOTS & matched(n) > commit[n] & (told[promised[n]] > commit[n] | APPLIES_EARLY = 1)
  ==> begin
    learn(n, commit[n] + 1);
  end;
end;

-- From any member that has more in its log, and knows it to be committed; who leads needs nothing.
ruleset n: node; m: node do
  rule "catch up"
    commit[n] < commit[m] & trimmed[m] <= commit[n] & !leads(n)
  ==> begin
    log_ballot[n][commit[n] + 1] := log_ballot[m][commit[n] + 1];
    log_value[n][commit[n] + 1] := log_value[m][commit[n] + 1];
    learn(n, commit[n] + 1);
  end;
end;

-- Checkpoints, and what is trimmed

ruleset n: node do
  rule "checkpoint"
    !is_restoring[n] & checkpoint[n] < commit[n]
  ==> begin
    checkpoint[n] := commit[n];
  end;

  rule "checkpoint ahead"
    CHECKPOINT_AHEAD = 1 & !is_restoring[n] & commit[n] < SLOTS & checkpoint[n] <= commit[n] & matched(n) > commit[n]
  ==> begin
    checkpoint[n] := commit[n] + 1;
  end;

  rule "trim"
    trimmed[n] < (TRIMS_UNCHECKPOINTED = 1 ? commit[n] : checkpoint[n])
  ==> begin
    cut(n, TRIMS_UNCHECKPOINTED = 1 ? commit[n] : checkpoint[n]);
  end;

  -- Its log begins behind its checkpoint; of what is committed it knows as much
  rule "crash"
    commit[n] > checkpoint[n] | is_restoring[n] | leads(n) | CHECKPOINT_AHEAD = 1
    | (TRIM_DROPS_PROMISE = 1 & trimmed[n] > 0)
  ==> begin
    step_down(n);
    commit[n] := checkpoint[n];
    if is_restoring[n] & trimmed[n] > commit[n] then commit[n] := trimmed[n]; end;
    for s: slot do if s > checkpoint[n] then state[n][s] := 0; end; end;
    cut(n, checkpoint[n]);
    if INSTALL_FORGOTTEN = 1 then is_restoring[n] := false; end;
    if TRIM_DROPS_PROMISE = 1 & trimmed[n] > 0 then promised[n] := 0; end;
    for s: slot do raise_promise(n, log_ballot[n][s]); end;
  end;
end;

-- Snapshots

-- A leader sends one to whom it has not the entries for; others do where they are asked by who stood and could not win.
-- A log replica asks at once.
function lacks(n: node; m: node): boolean;
begin
  if promised[n] > 0 & is_leading[promised[n]] & owner[promised[n]] = m then return trimmed[m] > matched(n); end;
  return trimmed[m] > commit[n];
end;

ruleset n: node; m: node do
  -- The state that was there is removed first
  rule "begin to restore"
    n != m & !is_restoring[m] & !is_restoring[n] & !leads(n) & lacks(n, m)
  ==> begin
    is_restoring[n] := true;
    for s: slot do state[n][s] := 0; end;
  end;

  -- As of any slot that was a checkpoint when it was begun
  ruleset s: slot do
    rule "restore"
      n != m & !is_restoring[m] & is_restoring[n] & s >= trimmed[m] & s <= checkpoint[m]
      & ((s >= checkpoint[n] & s >= trimmed[n]) | TAKES_OLD = 1)
    ==> begin
      is_restoring[n] := false;
      checkpoint[n] := s;
      for t: slot do if t <= s then state[n][t] := state[m][t]; end; end;
      if s > commit[n] then
        commit[n] := s;
        cut(n, RESET_DROPS_TAIL = 1 ? SLOTS : s);
        trimmed[n] := s;
      else
        for t: slot do
          if t > s & t <= commit[n] & APPLIES_HOLE = 0 then state[n][t] := log_value[n][t]; end;
        end;
      end;
    end;
  end;
end;

-- Log replicas

-- What storage replicas that make a majority have, and know to be committed.
function is_held(s: slot): boolean;
begin
  return forall n: node do n = log_replica | commit[n] >= s end;
end;

ruleset n: node; b: ballot; s: slot do
  rule "begin the log later"
    n = log_replica & is_restoring[n] & is_leading[b] & promised[n] <= b
    & ((s = trimmed[owner[b]] & s > matched(n)) | (s = checkpoint[owner[b]] & s > trimmed[n]))
    & (is_held(s) | LETS_GO_UNHELD = 1
      | (matched(n) = 0 & s = trimmed[owner[b]] & forall t: slot do log_ballot[n][t] = 0 end))
  ==> begin
    raise_promise(n, b);
    if s > commit[n] then commit[n] := s; end;
    cut(n, s);
  end;
end;

-- A state that a snapshot is to replace counts, though it is not there any more: without it this does not hold.
function holds(n: node; s: slot): boolean;
begin
  return log_value[n][s] = acknowledged[s] | (s <= checkpoint[n] & (is_restoring[n] | state[n][s] = acknowledged[s]));
end;

invariant "one value a slot"
  forall b: ballot do forall s: slot do
    (s <= told[b] & proposed[b][s] > 0) -> proposed[b][s] = acknowledged[s]
  end end;

invariant "a state is what was acknowledged, up to its slot"
  forall n: node do !is_restoring[n] ->
    forall s: slot do state[n][s] = (s <= commit[n] ? acknowledged[s] : 0) end
  end;

invariant "what a log has trimmed its checkpoint stands for"
  forall n: node do trimmed[n] <= checkpoint[n] | (n = log_replica & is_restoring[n]) end;

invariant "no log has a hole"
  forall n: node do forall s: slot do
    (s > trimmed[n] & log_ballot[n][s] = 0) -> forall t: slot do t > s -> log_ballot[n][t] = 0 end
  end end;

invariant "who leads has a state"
  forall b: ballot do is_leading[b] -> !is_restoring[owner[b]] end;

invariant "what was acknowledged is on two disks"
  forall s: slot do acknowledged[s] > 0 ->
    exists n: node do exists m: node do n != m & holds(n, s) & holds(m, s) end end
  end;

liveness "who gave its state up gets another"
  forall n: node do !is_restoring[n] | n = log_replica end;
