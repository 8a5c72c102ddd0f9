-- Changing members: three of four nodes are members; a configuration entry puts the fourth in the place of one of them.
-- tests/models/README.md says what each rule stands for in the code, and what is left out.

const
  BALLOTS: 2;
  SLOTS: 2;
  MAJORITY: 2;

  -- Broken on purpose: 1 breaks a rule, and an invariant has to notice
  COUNTS_WHO_LEAVES: 0; -- a configuration counts as committed on a majority of the old members, whoever they are
  LEADS_ON: 0;          -- a leader whose phase 1 brought a configuration leads on under it
  PROPOSES_PAST: 0;     -- entries are proposed past a configuration entry, and committed by the members before it
  EMPTIES_MEMBERS: 0;   -- a node is emptied although it is a member
  NO_FLOOR_SLOT: 0;     -- a node that was emptied promises also who knows of no configuration since
  NO_FLOOR_BALLOT: 0;   -- ... and follows whoever led before

type
  node: scalarset(4);
  ballot: 1..BALLOTS;
  ballot0: 0..BALLOTS;
  slot: 1..SLOTS;
  slot0: 0..SLOTS;
  phase: enum { IDLE, ASKING, LEADING };
  content: enum { NOTHING, WRITE, CONFIGURATION };

var
  -- The members are all but one: a configuration is the node that is none
  first_outsider: node;

  -- On each node's disk
  promised: array[node] of ballot0;
  log: array[node] of array[slot] of ballot0;         -- accepted at; what it is `proposed` says. 0: nothing
  was_emptied: array[node] of boolean;                -- and knows of no configuration since with it as a member
  floor_slot: array[node] of slot0;                   -- of the last configuration when it was emptied

  -- One attempt to lead, in its owner's memory
  owner: array[ballot] of node;
  state: array[ballot] of phase;
  from: array[ballot] of slot0;                       -- ASKING: the first slot that the candidate asked about
  voted: array[ballot] of array[node] of boolean;     -- ASKING: whose promises it has, and what they told
  best: array[ballot] of array[slot] of ballot0;
  acked: array[ballot] of array[node] of slot0;       -- LEADING: up to where each disk has what it proposed
  recovered: array[ballot] of slot0;                  -- LEADING: what phase 1 brought ends here,
  is_closing: array[ballot] of boolean;               -- ... with a configuration

  -- On the way, for as long as anybody may take it: lost, repeated, late, in any order
  proposed: array[ballot] of array[slot] of content;
  writer: array[ballot] of array[slot] of ballot0;    -- WRITE: the ballot that it was first proposed at
  outsider: array[ballot] of array[slot] of node;     -- CONFIGURATION
  told: array[ballot] of slot0;                       -- the commit slot that goes with it

  -- What has been committed, and clients may have been told
  chosen: array[slot] of content;
  chosen_writer: array[slot] of ballot0;
  chosen_outsider: array[slot] of node;

procedure end_attempt(b: ballot);
begin
  state[b] := IDLE;
  from[b] := 0;
  recovered[b] := 0;
  is_closing[b] := false;
  for n: node do voted[b][n] := false; acked[b][n] := 0; end;
  for s: slot do best[b][s] := 0; end;
end;

procedure step_down(n: node);
begin
  for b: ballot do
    if state[b] != IDLE & owner[b] = n then end_attempt(b); end;
  end;
end;

-- What nobody can take and nobody has is forgotten: states that differ in nothing else are one.
procedure tidy();
var is_dead: boolean; is_held: boolean;
begin
  for b: ballot do
    is_dead := true;
    for n: node do if promised[n] <= b then is_dead := false; end; end;
    if is_dead then
      undefine owner[b];
      told[b] := 0;
      for s: slot do
        is_held := false;
        for n: node do if log[n][s] = b then is_held := true; end; end;
        for c: ballot do if best[c][s] = b then is_held := true; end; end;
        if !is_held then proposed[b][s] := NOTHING; writer[b][s] := 0; undefine outsider[b][s]; end;
      end;
    end;
  end;
end;

procedure raise_promise(n: node; b: ballot);
begin
  if b > promised[n] then
    step_down(n);
    promised[n] := b;
  end;
end;

-- Who is no member behind slot k. Only for what is committed up to there.
function outsider_at(k: slot0): node;
var r: node;
begin
  r := first_outsider;
  for s: slot do if s <= k & chosen[s] = CONFIGURATION then r := chosen_outsider[s]; end; end;
  return r;
end;

function last_chosen(): slot0;
var last: slot0;
begin
  last := 0;
  for s: slot do if chosen[s] != NOTHING then last := s; end; end;
  return last;
end;

function is_chosen(b: ballot0; s: slot): boolean;
begin
  if b = 0 then return false; end;
  if proposed[b][s] = NOTHING | proposed[b][s] != chosen[s] then return false; end;
  if proposed[b][s] = WRITE then return writer[b][s] = chosen_writer[s]; end;
  return outsider[b][s] = chosen_outsider[s];
end;

-- Up to where a node may know that its log is committed. What it knows it may have from anybody, and may have forgotten.
function commit(n: node): slot0;
var last: slot0;
begin
  last := 0;
  for s: slot do if s = last + 1 & is_chosen(log[n][s], s) then last := s; end; end;
  return last;
end;

-- Up to where a node's log agrees with that of the leader of `promised`.
function matched(n: node): slot0;
var last: slot0;
begin
  last := commit(n);
  for s: slot do if s = last + 1 & promised[n] > 0 & log[n][s] = promised[n] then last := s; end; end;
  return last;
end;

function last_proposed(b: ballot): slot0;
var last: slot0;
begin
  last := told[b];
  for s: slot do if s > told[b] & proposed[b][s] != NOTHING then last := s; end; end;
  return last;
end;

-- Whether a configuration entry is on its way.
function is_changing(b: ballot): boolean;
var is_so: boolean;
begin
  is_so := false;
  for s: slot do if s > told[b] & proposed[b][s] = CONFIGURATION then is_so := true; end; end;
  return is_so;
end;

-- Whom the votes in a slot are counted of.
function counted_outsider(b: ballot; s: slot): node;
begin
  if PROPOSES_PAST = 1 & s >= 2 & s - 2 < told[b] then return outsider_at(s - 2); end;
  return outsider_at(told[b]);
end;

procedure advance_commit(b: ballot);
var count: 0..4; next: 0..4; out: node; next_out: node;
begin
  for s: slot do
    if state[b] = LEADING & s = told[b] + 1 & proposed[b][s] != NOTHING then
      out := counted_outsider(b, s);
      next_out := out;
      if proposed[b][s] = CONFIGURATION then next_out := outsider[b][s]; end;
      count := 0;
      next := 0;
      for n: node do
        if acked[b][n] >= s then
          if n != out then count := count + 1; end;
          if n != next_out then next := next + 1; end;
        end;
      end;
      if count >= MAJORITY & (next >= MAJORITY | COUNTS_WHO_LEAVES = 1) then
        told[b] := s;
        if chosen[s] = NOTHING then
          chosen[s] := proposed[b][s];
          if chosen[s] = WRITE then chosen_writer[s] := writer[b][s]; else chosen_outsider[s] := outsider[b][s]; end;
        end;
        if proposed[b][s] = CONFIGURATION then
          if PROPOSES_PAST = 0 then acked[b][outsider[b][s]] := 0; end;
          if is_closing[b] & s = recovered[b] & LEADS_ON = 0 then end_attempt(b); end;
        end;
      end;
    end;
  end;
  for n: node do if acked[b][n] <= told[b] then acked[b][n] := 0; end; end;
  if recovered[b] <= told[b] then recovered[b] := 0; is_closing[b] := false; end;
end;

-- The slot of the configuration in force behind slot k. Only for what is committed up to there.
function configuration_slot(k: slot0): slot0;
var last: slot0;
begin
  last := 0;
  for s: slot do if s <= k & chosen[s] = CONFIGURATION then last := s; end; end;
  return last;
end;

-- A node that was emptied is a log replica at first, which does not stand.
procedure note_joined(n: node);
begin
  if configuration_slot(commit(n)) > floor_slot[n] & n != outsider_at(commit(n)) then was_emptied[n] := false; end;
end;

procedure tell(b: ballot; n: node);
begin
  voted[b][n] := true;
  for s: slot do if s >= from[b] & log[n][s] > best[b][s] then best[b][s] := log[n][s]; end; end;
end;

ruleset o: node do
  startstate "born"
  begin
    first_outsider := o;
    for n: node do
      promised[n] := 0;
      was_emptied[n] := n = o;
      floor_slot[n] := 0;
      for s: slot do log[n][s] := 0; end;
    end;
    for b: ballot do
      undefine owner[b];
      told[b] := 0;
      end_attempt(b);
      for s: slot do proposed[b][s] := NOTHING; writer[b][s] := 0; undefine outsider[b][s]; end;
    end;
    for s: slot do chosen[s] := NOTHING; chosen_writer[s] := 0; undefine chosen_outsider[s]; end;
  end;
end;

-- Phase 1

-- The candidate begins to count with the first promise of another: before that nobody has changed.
ruleset n: node; m: node; b: ballot; k: slot0 do
  rule "stand"
    n != m & (isundefined(owner[b]) | owner[b] = n) & state[b] = IDLE
    & b > promised[n] & b >= promised[m]
    & k < SLOTS & k <= commit(n) & n != outsider_at(k) & m != outsider_at(k)
    & !was_emptied[n] & configuration_slot(k) >= floor_slot[m]
  ==> begin
    step_down(n);
    raise_promise(m, b);
    owner[b] := n;
    state[b] := ASKING;
    from[b] := k + 1;
    tell(b, m);
    tidy();
  end;
end;

ruleset n: node; b: ballot do
  rule "promise"
    state[b] = ASKING & owner[b] != n & !voted[b][n] & n != outsider_at(from[b] - 1)
    & configuration_slot(from[b] - 1) >= floor_slot[n]
    & b >= promised[n]
  ==> begin
    raise_promise(n, b);
    tell(b, n);
    tidy();
  end;
end;

-- The candidate promises itself last. It proposes anew what may have been chosen, up to a configuration and no further.
ruleset b: ballot do
  rule "win"
    state[b] = ASKING & promised[owner[b]] < b
  ==>
  var
    last: slot0;
    is_ended: boolean;
    first: slot0;
    closing: boolean;
  begin
    promised[owner[b]] := b;
    tell(b, owner[b]);
    first := from[b];
    told[b] := first - 1;
    last := told[b];
    for s: slot do if s >= first & best[b][s] > 0 then last := s; end; end;
    is_ended := false;
    closing := false;
    for s: slot do
      if s >= first & s <= last & !is_ended then
        if best[b][s] = 0 then
          proposed[b][s] := WRITE;
          writer[b][s] := b;
        else
          proposed[b][s] := proposed[best[b][s]][s];
          writer[b][s] := writer[best[b][s]][s];
          if proposed[b][s] = CONFIGURATION then
            outsider[b][s] := outsider[best[b][s]][s];
            if LEADS_ON = 0 then is_ended := true; last := s; closing := true; end;
          end;
        end;
      end;
    end;
    end_attempt(b);
    state[b] := LEADING;
    if last > told[b] then recovered[b] := last; is_closing[b] := closing; end;
    tidy();
  end;
end;

-- Phase 2

ruleset b: ballot; s: slot do
  rule "propose a write"
    state[b] = LEADING & s = last_proposed(b) + 1 & !is_closing[b] & (!is_changing(b) | PROPOSES_PAST = 1)
  ==> begin
    proposed[b][s] := WRITE;
    writer[b][s] := b;
  end;

  ruleset r: node do
    rule "propose a configuration"
      state[b] = LEADING & s = last_proposed(b) + 1 & recovered[b] = 0 & !is_changing(b)
      & r != owner[b] & owner[b] != outsider_at(told[b]) & r != outsider_at(told[b])
      & was_emptied[outsider_at(told[b])]
    ==> begin
      proposed[b][s] := CONFIGURATION;
      outsider[b][s] := r;
    end;
  end;
end;

ruleset n: node; b: ballot; s: slot do
  rule "accept"
    proposed[b][s] != NOTHING & (n != outsider_at(told[b]) | was_emptied[n])
    & promised[n] <= b
    & (s <= commit(n) + 1 | (promised[n] = b & s <= matched(n) + 1)) & log[n][s] != b
  ==> begin
    raise_promise(n, b);
    log[n][s] := b;
    if state[b] = LEADING & matched(n) > acked[b][n] then acked[b][n] := matched(n); advance_commit(b); end;
    note_joined(n);
    tidy();
  end;
end;

ruleset n: node; b: ballot do
  rule "acknowledge"
    state[b] = LEADING & promised[n] = b & matched(n) > acked[b][n] & matched(n) > told[b]
  ==> begin
    acked[b][n] := matched(n);
    advance_commit(b);
    tidy();
  end;
end;

-- From any member that knows more to be committed; who leads needs nothing.
ruleset n: node; m: node; s: slot do
  rule "catch up"
    s <= commit(m) & s <= commit(n) + 1 & log[n][s] != log[m][s] & n != outsider_at(last_chosen())
    & (promised[n] = 0 | state[promised[n]] != LEADING | owner[promised[n]] != n)
  ==> begin
    log[n][s] := log[m][s];
    note_joined(n);
    tidy();
  end;
end;

-- An attempt ends with its owner's process, or because the owner gives up. Disks keep what they have.
ruleset b: ballot do
  rule "restart"
    state[b] != IDLE
  ==> begin
    end_attempt(b);
    tidy();
  end;
end;

-- A member that the group has gone on without is deleted, when a leader that serves says so; one that knows of older
-- members than the last decision was based on is not listened to. If the node becomes a member again, it begins with
-- nothing but what this leader had reached.
ruleset n: node; b: ballot do
  rule "empty"
    state[b] = LEADING & recovered[b] = 0
    & ((n = outsider_at(last_chosen()) & configuration_slot(told[b]) = configuration_slot(last_chosen()))
       | (EMPTIES_MEMBERS = 1 & n != owner[b]))
    & !was_emptied[n]
  ==> begin
    step_down(n);
    was_emptied[n] := true;
    for s: slot do log[n][s] := 0; end;
    promised[n] := 0;
    if NO_FLOOR_BALLOT = 0 then promised[n] := b; end;
    if NO_FLOOR_SLOT = 0 then floor_slot[n] := configuration_slot(told[b]); end;
    tidy();
  end;
end;

invariant "one value a slot"
  forall b: ballot do forall s: slot do
    (s <= told[b] & proposed[b][s] != NOTHING) -> is_chosen(b, s)
  end end;

invariant "what was acknowledged is on the disks of two members in force"
  forall s: slot do chosen[s] != NOTHING ->
    exists n: node do exists m: node do
      n != m & n != outsider_at(last_chosen()) & m != outsider_at(last_chosen())
      & is_chosen(log[n][s], s) & is_chosen(log[m][s], s)
    end end
  end;

invariant "no log has a hole"
  forall n: node do forall s: slot do (s > 1 & log[n][s] > 0) -> log[n][s - 1] > 0 end end;
