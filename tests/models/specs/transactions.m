-- Transactions over two partitions: marks, the ledger, recovery, single writes and transactional reads.
-- tests/models/README.md says what each rule stands for in the code, and what is left out.

const
  ATTEMPTS: 3;
  ITEMS: 2;

  -- Broken on purpose: 1 breaks a rule, and an invariant has to notice
  NEVER_REFUSES: 0;       -- recovery takes away a mark whose attempt the ledger does not know, and does not refuse it
  BEGINS_REFUSED: 0;      -- begin does not look at what was refused
  BEGINS_TWICE: 0;        -- begin is carried out again where it is sent again
  BEGINS_AGAIN: 0;        -- begin takes a row that is done, also where it was committed
  CANCELS_BLINDLY: 0;     -- recovery cancels what it read as preparing, whatever it is by then
  COMMITS_BLINDLY: 0;     -- a coordinator commits what it began and prepared, whatever it is by then
  MARKS_OVER: 0;          -- PREPARE takes an item that another attempt has marked
  CHECKS_UNMARKED: 0;     -- PREPARE does not mark an item of which only the condition is wanted
  IGNORES_STAMPS: 0;      -- PREPARE does not compare stamps
  NO_NUDGES: 0;           -- recovery looks at the ledger only
  PREPARES_TWICE: 0;      -- PREPARE is carried out again where it is sent again
  FINISHES_ANY: 0;        -- FINISH takes away the mark that it finds
  DONE_EARLY: 0;          -- a row is done before all have finished
  DONE_ANY: 0;            -- a row is done whatever attempt it is of
  REFUSAL_EXPIRES: 0;     -- a refusal gives a row an end whose attempt is under way
  BEGIN_EXPIRES: 0;       -- begin leaves a row the end that it had
  EXPIRES_EARLY: 0;       -- a row vanishes while a begin may still come
  WRITES_MARKED: 0;       -- a single write does not look at marks
  READS_MARKED: 0;        -- a transactional read does not look at marks
  READS_ONCE: 0;          -- a transactional read has one phase

type
  attempt: 1..ATTEMPTS;                               -- also its stamp
  attempt0: 0..ATTEMPTS;
  item: 1..ITEMS;                                     -- each in a partition of its own
  writer: 0..ATTEMPTS + 1;                            -- 0: nobody yet; above ATTEMPTS: the single write
  request: enum { RETRIED, OTHER };                   -- RETRIED writes all items; OTHER the last, and checks the first
  message: enum { ON_WAY, TAKEN, VOID };              -- VOID: refused, lost, or too old
  decision: enum { PREPARING, COMMITTED, CANCELLED };
  wrong: enum { NOTHING, OUTDATED, DISORDER, MIXTURE };

var
  made_of: array[attempt] of request;

  -- Sent by coordinators: may be carried out at any time, once
  begin_message: array[attempt] of message;
  prepare: array[attempt] of array[item] of message;

  -- In the partitions
  value: array[item] of writer;
  mark: array[item] of attempt0;
  was_written: boolean;                               -- one of the items, by a single write

  -- In the ledger
  row: array[request] of attempt0;
  state: array[request] of decision;
  is_done: array[request] of boolean;
  has_end: array[request] of boolean;                 -- `expires`
  is_refused: array[attempt] of boolean;

  -- What the ledger has said at some time: FINISH may be carried out from then on
  is_committed: array[attempt] of boolean;
  is_cancelled: array[attempt] of boolean;

  -- A transactional read of all items: its first phase
  is_read: array[item] of boolean;
  got: array[item] of writer;
  was_true: array[writer] of array[writer] of boolean; -- what was so, or becoming so, since it began

  -- What is so once all that was committed is carried out, and what was so at some moment
  truth: array[item] of writer;
  before: array[item] of writer;                      -- ... and before the last commit, until that is carried out
  based_on: array[attempt] of array[item] of writer;  -- what PREPARE found
  fault: wrong;

function writes(a: attempt; i: item): boolean;
begin
  return made_of[a] = RETRIED | i = ITEMS;
end;

function has_mark(a: attempt): boolean;
begin
  return exists i: item do mark[i] = a end;
end;

function may_begin(a: attempt): boolean;
var r: request;
begin
  r := made_of[a];
  if is_refused[a] & BEGINS_REFUSED = 0 then return false; end;
  return row[r] = 0 | (is_done[r] & (state[r] = CANCELLED | BEGINS_AGAIN = 1));
end;

function may_refuse(a: attempt): boolean;
begin
  return row[made_of[a]] != a & NO_NUDGES = 0;
end;

function takes_stamp(a: attempt): boolean;
begin
  return IGNORES_STAMPS = 1 | forall b: attempt do is_committed[b] -> b < a end;
end;

procedure end_read();
begin
  for i: item do is_read[i] := false; got[i] := 0; end;
  for v: writer do for w: writer do was_true[v][w] := false; end; end;
end;

-- What was read has changed, or has been marked: the second phase would find out, so the read is given up.
procedure touch(i: item);
begin
  if is_read[i] & READS_ONCE = 0 then end_read(); end;
end;

procedure note_truth();
begin
  if exists i: item do is_read[i] end then was_true[truth[1]][truth[2]] := true; end;
end;

procedure finish_read();
begin
  if !was_true[got[1]][got[2]] then fault := MIXTURE; end;
  end_read();
end;

-- What was so before the last commit can be seen nowhere once that is carried out.
procedure settle();
begin
  if forall i: item do mark[i] = 0 | !is_committed[mark[i]] end then before := truth; end;
end;

procedure unmark(i: item);
begin
  based_on[mark[i]][i] := 0;
  mark[i] := 0;
  touch(i);
  settle();
end;

-- An attempt that cannot be committed any more: states that differ in nothing else are one.
procedure tidy();
begin
  for a: attempt do
    if !is_committed[a]
      & (begin_message[a] = VOID | (begin_message[a] = TAKEN & row[made_of[a]] != a & BEGINS_TWICE = 0))
    then
      begin_message[a] := VOID;
      is_refused[a] := false;
      if !has_mark(a) then is_cancelled[a] := false; end;
      for i: item do
        if prepare[a][i] = TAKEN & mark[i] != a then prepare[a][i] := VOID; based_on[a][i] := 0; end;
      end;
    end;
  end;
end;

-- Which of the attempts is the other transaction's: of the stamps before, between and behind
ruleset other: attempt do
  startstate "born"
  begin
    for a: attempt do
      made_of[a] := RETRIED;
      begin_message[a] := ON_WAY;
      for i: item do prepare[a][i] := ON_WAY; based_on[a][i] := 0; end;
      is_refused[a] := false;
      is_committed[a] := false;
      is_cancelled[a] := false;
    end;
    made_of[other] := OTHER;
    was_written := false;
    for i: item do
      value[i] := 0;
      mark[i] := 0;
      truth[i] := 0;
      before[i] := 0;
    end;
    for r: request do
      row[r] := 0;
      state[r] := PREPARING;
      is_done[r] := false;
      has_end[r] := false;
    end;
    end_read();
    fault := NOTHING;
  end;
end;

-- Coordinators

ruleset a: attempt do
  rule "begin"
    begin_message[a] = ON_WAY & may_begin(a)
  ==> begin
    row[made_of[a]] := a;
    state[made_of[a]] := PREPARING;
    is_done[made_of[a]] := false;
    if BEGIN_EXPIRES = 0 then has_end[made_of[a]] := false; end;
    begin_message[a] := TAKEN;
    tidy();
  end;

  -- Or it is refused, or too old: it will not be carried out
  rule "lose a begin"
    begin_message[a] = ON_WAY
  ==> begin
    begin_message[a] := VOID;
    tidy();
  end;

  rule "repeat a begin"
    BEGINS_TWICE = 1 & begin_message[a] = TAKEN & may_begin(a)
  ==> begin
    row[made_of[a]] := a;
    state[made_of[a]] := PREPARING;
    is_done[made_of[a]] := false;
    has_end[made_of[a]] := false;
  end;

  rule "commit"
    begin_message[a] = TAKEN & (forall i: item do prepare[a][i] = TAKEN end) & row[made_of[a]] = a
    & (state[made_of[a]] = PREPARING | (COMMITS_BLINDLY = 1 & state[made_of[a]] = CANCELLED))
  ==> begin
    for i: item do if based_on[a][i] != truth[i] then fault := OUTDATED; end; end;
    if exists b: attempt do is_committed[b] & b > a end then fault := DISORDER; end;
    state[made_of[a]] := COMMITTED;
    is_committed[a] := true;
    before := truth;
    for i: item do if writes(a, i) then truth[i] := a; end; end;
    note_truth();
  end;
end;

ruleset a: attempt; i: item do
  rule "prepare"
    prepare[a][i] = ON_WAY & (mark[i] = 0 | MARKS_OVER = 1) & takes_stamp(a)
  ==> begin
    prepare[a][i] := TAKEN;
    based_on[a][i] := value[i];
    if writes(a, i) | CHECKS_UNMARKED = 0 then
      mark[i] := a;
      touch(i);
    end;
  end;

  rule "repeat a prepare"
    PREPARES_TWICE = 1 & prepare[a][i] = TAKEN & mark[i] = 0
  ==> begin
    based_on[a][i] := value[i];
    mark[i] := a;
    touch(i);
  end;

  rule "finish what is committed"
    is_committed[a] & (mark[i] = a | (FINISHES_ANY = 1 & mark[i] != 0))
  ==> begin
    if writes(mark[i], i) then value[i] := mark[i]; end;
    unmark(i);
    tidy();
  end;

  rule "finish what is cancelled"
    is_cancelled[a] & (mark[i] = a | (FINISHES_ANY = 1 & mark[i] != 0))
  ==> begin
    unmark(i);
    tidy();
  end;
end;

-- Coordinators and recovery, however late

ruleset a: attempt do
  rule "cancel"
    row[made_of[a]] = a & (state[made_of[a]] = PREPARING | (CANCELS_BLINDLY = 1 & state[made_of[a]] = COMMITTED))
  ==> begin
    state[made_of[a]] := CANCELLED;
    is_cancelled[a] := true;
    tidy();
  end;

  rule "refuse"
    (exists i: item do prepare[a][i] = TAKEN end) & may_refuse(a) & !is_refused[a]
  ==> begin
    if NEVER_REFUSES = 0 then
      is_refused[a] := true;
      if row[made_of[a]] = 0 | REFUSAL_EXPIRES = 1 then has_end[made_of[a]] := true; end;
    end;
    is_cancelled[a] := true;
    tidy();
  end;

  rule "done"
    !is_done[made_of[a]] & row[made_of[a]] != 0 & (row[made_of[a]] = a | DONE_ANY = 1)
    & (is_committed[a] | is_cancelled[a]) & (!has_mark(a) | DONE_EARLY = 1)
  ==> begin
    is_done[made_of[a]] := true;
    has_end[made_of[a]] := true;
  end;
end;

-- Minutes later: whatever may begin an attempt is too old; what is sent anew since then is carried out as ever
ruleset r: request do
  rule "vanish"
    has_end[r] & (EXPIRES_EARLY = 1 | forall a: attempt do made_of[a] = r -> begin_message[a] != ON_WAY end)
  ==> begin
    row[r] := 0;
    state[r] := PREPARING;
    is_done[r] := false;
    has_end[r] := false;
    for a: attempt do if made_of[a] = r then is_refused[a] := false; end; end;
    tidy();
  end;
end;

-- Single operations, and transactions that are committed in one round

ruleset i: item do
  rule "write"
    !was_written & (mark[i] = 0 | WRITES_MARKED = 1)
  ==> begin
    was_written := true;
    value[i] := ATTEMPTS + 1;
    truth[i] := ATTEMPTS + 1;
    settle();
    note_truth();
    touch(i);
  end;
end;

-- Transactional reads

-- The second phase finds everything as it was when the first one ended, or the read is given up (`touch`).
ruleset i: item do
  rule "read"
    !is_read[i] & (mark[i] = 0 | READS_MARKED = 1)
  ==> begin
    if forall j: item do !is_read[j] end then was_true[before[1]][before[2]] := true; end;
    is_read[i] := true;
    got[i] := value[i];
    note_truth();
    if forall j: item do is_read[j] end then finish_read(); end;
  end;
end;

invariant "what is committed is in the items or their marks, and nothing else is"
  forall i: item do
    truth[i] = (mark[i] != 0 & is_committed[mark[i]] & writes(mark[i], i) ? mark[i] : value[i])
  end;

invariant "what was committed was computed from what was so then"
  fault != OUTDATED;

invariant "conflicting transactions are committed in the order of their stamps"
  fault != DISORDER;

invariant "a transactional read sees what was so at one moment"
  fault != MIXTURE;

invariant "one attempt of a transaction is committed at most"
  forall a: attempt do forall b: attempt do
    (a < b & made_of[a] = made_of[b]) -> !(is_committed[a] & is_committed[b])
  end end;

invariant "who asks the ledger is told of what was committed"
  forall a: attempt do
    is_committed[a] -> row[made_of[a]] = 0 | (row[made_of[a]] = a & state[made_of[a]] = COMMITTED)
  end;

liveness "marks go"
  forall i: item do mark[i] = 0 end;
