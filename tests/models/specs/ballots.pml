/* Agreement once more, as a second opinion on agreement.m: members that send each other messages over links.
   tests/models/README.md says what each rule stands for in the code, and what is left out. */

#define NODES 3   /* the last has a log only: it votes but never leads */
#define BALLOTS 3 /* taken in turn by the two that may lead */
#define SLOTS 2
/* In how many of the slots the leader of a ballot proposes what it has. The last ballot has but to be won: what its
   leader would propose is looked at then. */
#define SLOTS_AT(of) ((of) == 1 -> SLOTS : ((of) < BALLOTS -> 1 : 0))

/* Broken on purpose: 1 breaks a rule, and an assertion has to notice */
#define FORGETS_PROMISE 0   /* a log replica that restarts does not remember its promise */
#define FORGETS_ENTRY 0     /* an acceptor that restarts does not have what it acknowledged last */
#define TAKES_OLDEST 0      /* a candidate takes what was accepted at the lowest ballot */
#define PROPOSES_ITS_OWN 0  /* a leader does not propose again what phase 1 brought */
#define ACCEPTS_OUTBID 0    /* an acceptor takes an entry at a lower ballot than it has promised */
#define ACCEPTS_HOLE 0      /* an acceptor takes an entry whatever comes before it */

mtype = { FOLLOWER, CANDIDATE, LEADER };
mtype = { PREPARE, ACCEPT };

typedef Entries { byte ballot[SLOTS]; byte value[SLOTS] }; /* ballot 0: nothing; each leader has a value of its own */

/* On disk */
byte promised[NODES];
Entries log[NODES];

/* In memory. What has been committed: up to `commit`. The log agrees with the leader of `promised` up to `matched`. */
mtype role[NODES] = FOLLOWER;
byte commit[NODES];
byte matched[NODES];

/* In memory, of the two that may lead. What a candidate asks for, and what a leader proposes. */
byte ballot[2];
byte from[2];
Entries proposed[2];
byte acked[2 * NODES];

/* One request at a time from each that may lead to each other, and one promise back. Who sends while there is one,
   sends in vain. */
chan request[4] = [1] of { mtype, byte, byte, byte, byte };
chan promise[4] = [1] of { byte, byte, byte, byte };
#define LINK(x, y) ((x) * 2 + (y) - ((y) > (x) -> 1 : 0))

/* What clients may have been told, and at which ballot it was committed */
byte acknowledged[SLOTS];
byte acknowledged_at[SLOTS];

/* What must hold */
bool one_value_a_slot = true;
bool later_leaders_have_what_was_acknowledged = true;
bool followers_apply_what_was_acknowledged = true;
bool no_log_has_a_hole = true;

/* The next of its own above all that it knows to be taken: odd ones are member 0's. */
#define ABOVE(me) (promised[me] > ballot[me] -> promised[me] : ballot[me])
#define NEXT_BALLOT(me) (ABOVE(me) + ((ABOVE(me) + (me)) % 2 -> 2 : 1))

/* Of one step only */
hidden mtype kind;
hidden byte b, s, v, c, b2, s2, v2, c2, n, count;

/* A promise that its candidate no longer waits for is not on its way. */
inline wait_no_longer(me) {
  if :: nempty(promise[me * 2]) -> promise[me * 2] ? _, _, _, _ :: empty(promise[me * 2]) fi;
  if :: nempty(promise[me * 2 + 1]) -> promise[me * 2 + 1] ? _, _, _, _ :: empty(promise[me * 2 + 1]) fi
}

/* What a leader knows to be committed, and has not on its disk yet, is there before any promise of later. */
inline step_down(me) {
  do
  :: role[me] == LEADER && matched[me] < commit[me] ->
    log[me].ballot[matched[me]] = ballot[me]; log[me].value[matched[me]] = proposed[me].value[matched[me]];
    matched[me]++
  :: else -> break
  od;
  role[me] = FOLLOWER;
  if
  :: me < 2 ->
    ballot[me] = 0; from[me] = 0;
    for (n : 0 .. SLOTS - 1) { proposed[me].ballot[n] = 0; proposed[me].value[n] = 0 }
    for (n : 0 .. NODES - 1) { acked[me * NODES + n] = 0 }
    wait_no_longer(me)
  :: else
  fi
}

/* A request that would be refused is not on its way: states that differ in nothing else are one. */
inline forget_refused(by, me) {
  if
  :: by != me && nempty(request[LINK(by, me)]) ->
    request[LINK(by, me)] ? kind, b2, s2, v2, c2;
    if :: b2 >= promised[me] -> request[LINK(by, me)] ! kind, b2, s2, v2, c2 :: b2 < promised[me] fi
  :: by == me || empty(request[LINK(by, me)])
  fi;
  kind = 0; b2 = 0; s2 = 0; v2 = 0; c2 = 0
}

inline set_promise(me, to) {
  promised[me] = to; matched[me] = commit[me];
  if
  :: !ACCEPTS_OUTBID -> forget_refused(0, me); forget_refused(1, me)
  :: ACCEPTS_OUTBID
  fi
}

inline raise_promise(me, to) {
  if
  :: to > promised[me] -> step_down(me); set_promise(me, to)
  :: to <= promised[me]
  fi
}

/* Up to `slot`, as far as the log agrees with that of who says so. */
inline learn_commit(me, slot) {
  do
  :: commit[me] < slot && commit[me] < matched[me] ->
    followers_apply_what_was_acknowledged = (log[me].value[commit[me]] == acknowledged[commit[me]]);
    assert(followers_apply_what_was_acknowledged);
    commit[me]++
  :: else -> break
  od
}

inline write(me, slot, at, value_) {
  log[me].ballot[slot - 1] = at; log[me].value[slot - 1] = value_;
  no_log_has_a_hole = (log[me].ballot[0] > 0);
  assert(no_log_has_a_hole);
  if :: slot > matched[me] -> matched[me] = slot :: else fi
}

/* What a leader's own disk has counts as that of any other. */
inline advance_commit(me) {
  do
  :: commit[me] < SLOTS ->
    count = (matched[me] > commit[me] -> 1 : 0);
    for (n : 0 .. NODES - 1) { count = count + (acked[me * NODES + n] > commit[me] -> 1 : 0) }
    if :: count < 2 -> break :: else fi;
    s = commit[me];
    one_value_a_slot = (acknowledged[s] == 0 || acknowledged[s] == proposed[me].value[s]);
    assert(one_value_a_slot);
    if
    :: acknowledged[s] == 0 ->
      acknowledged[s] = proposed[me].value[s]; acknowledged_at[s] = ballot[me];
      later_leaders_have_what_was_acknowledged =
        !(role[1 - me] == LEADER && ballot[1 - me] > ballot[me] && proposed[1 - me].value[s] != acknowledged[s]);
      assert(later_leaders_have_what_was_acknowledged)
    :: else
    fi;
    commit[me]++
  :: else -> break
  od
}

/* What this member has promised itself, and another, is all that may have been chosen. */
inline win(me) {
  set_promise(me, ballot[me]);
  for (n : 0 .. SLOTS - 1) {
    if
    :: log[me].ballot[n] > 0 && (proposed[me].ballot[n] == 0 || n < commit[me]
        || (TAKES_OLDEST -> log[me].ballot[n] < proposed[me].ballot[n] : log[me].ballot[n] > proposed[me].ballot[n])) ->
      proposed[me].ballot[n] = log[me].ballot[n]; proposed[me].value[n] = log[me].value[n]
    :: else
    fi;
    if
    :: proposed[me].ballot[n] == 0 || (PROPOSES_ITS_OWN && n >= commit[me]) -> proposed[me].value[n] = ballot[me]
    :: else
    fi;
    proposed[me].ballot[n] = 0;
    later_leaders_have_what_was_acknowledged = later_leaders_have_what_was_acknowledged &&
      !(acknowledged[n] > 0 && acknowledged_at[n] < ballot[me] && proposed[me].value[n] != acknowledged[n])
  }
  assert(later_leaders_have_what_was_acknowledged);
  role[me] = LEADER;
  wait_no_longer(me)
}

inline forget(me) {
  if :: FORGETS_PROMISE && me == 2 -> promised[me] = 0 :: else fi;
  if
  :: FORGETS_ENTRY && log[me].ballot[1] > 0 -> log[me].ballot[1] = 0; log[me].value[1] = 0
  :: FORGETS_ENTRY && log[me].ballot[1] == 0 -> log[me].ballot[0] = 0; log[me].value[0] = 0
  :: else
  fi
}

inline promise_to(by, me) {
  if
  :: b >= promised[me] ->
    step_down(me);
    raise_promise(me, b);
    if
    :: role[by] == CANDIDATE && ballot[by] == b && from[by] == s && nfull(promise[LINK(by, me)]) ->
      promise[LINK(by, me)] ! log[me].ballot[0], log[me].value[0], log[me].ballot[1], log[me].value[1]
    :: !(role[by] == CANDIDATE && ballot[by] == b && from[by] == s) || full(promise[LINK(by, me)])
    fi
  :: b < promised[me]
  fi;
  s = 0
}

inline accept_from(by, me, is_answered) {
  if
  :: b >= promised[me] || ACCEPTS_OUTBID ->
    raise_promise(me, b);
    if
    :: s <= matched[me] + 1 || ACCEPTS_HOLE ->
      if :: s > commit[me] -> write(me, s, b, v) :: else fi;
      learn_commit(me, c);
      if
      :: is_answered && role[by] == LEADER && ballot[by] == b && matched[me] > acked[by * NODES + me] ->
        acked[by * NODES + me] = matched[me];
        advance_commit(by)
      :: else
      fi
    :: else
    fi
  :: else
  fi;
  s = 0
}

/* A request is carried out with an answer or without, or lost; who sent it may send it again. */
#define RECEIVE(by, me) \
  :: d_step { request[LINK(by, me)] ? PREPARE, b, s, _, _ -> promise_to(by, me) } \
  :: d_step { request[LINK(by, me)] ? ACCEPT, b, s, v, c -> accept_from(by, me, true) } \
  :: d_step { request[LINK(by, me)] ? ACCEPT, b, s, v, c -> accept_from(by, me, false) } \
  :: request[LINK(by, me)] ? _, _, _, _, _

/* From whoever knows more to be committed */
#define CATCH_UP(by, me) \
  :: d_step { role[me] != LEADER && commit[by] > commit[me] && matched[by] > commit[me] -> \
      s = commit[me]; write(me, s + 1, log[by].ballot[s], log[by].value[s]); learn_commit(me, s + 1); s = 0 }

#define SEND(me, to) \
  :: d_step { role[me] == CANDIDATE && promised[to] <= ballot[me] && empty(promise[LINK(me, to)]) \
        && nfull(request[LINK(me, to)]) -> \
      request[LINK(me, to)] ! PREPARE, ballot[me], from[me], 0, 0 } \
  SEND_ACCEPT(me, to, 1) \
  SEND_ACCEPT(me, to, 2)

#define SEND_ACCEPT(me, to, slot) \
  :: d_step { role[me] == LEADER && slot <= SLOTS_AT(ballot[me]) && acked[me * NODES + to] < slot && commit[me] < slot \
        && nfull(request[LINK(me, to)]) -> \
      request[LINK(me, to)] ! ACCEPT, ballot[me], slot, proposed[me].value[slot - 1], commit[me] }

#define PROMISED(by, me) \
  :: d_step { promise[LINK(me, by)] ? b, v, s, c -> \
      if :: from[me] <= 1 -> proposed[me].ballot[0] = b; proposed[me].value[0] = v :: else fi; \
      if :: from[me] <= 2 -> proposed[me].ballot[1] = s; proposed[me].value[1] = c :: else fi; \
      win(me); \
      s = 0 }

#define LEAD(me) \
  /* stand */ \
  :: d_step { NEXT_BALLOT(me) <= BALLOTS -> \
      b = NEXT_BALLOT(me); step_down(me); role[me] = CANDIDATE; ballot[me] = b; from[me] = commit[me] + 1 } \
  /* what a leader proposes is on its own disk */ \
  :: d_step { role[me] == LEADER && matched[me] < SLOTS_AT(ballot[me]) -> \
      write(me, matched[me] + 1, ballot[me], proposed[me].value[matched[me]]); advance_commit(me); \
      s = 0 }

#define LIVE(me) \
  :: d_step { role[me] != FOLLOWER || matched[me] > commit[me] -> \
      if :: role[me] == LEADER -> commit[me] = 0 :: else fi; \
      role[me] = FOLLOWER; step_down(me); forget(me); matched[me] = commit[me] }

active proctype Storage_0() {
end:
  do
  LEAD(0) LIVE(0) RECEIVE(1, 0)
  SEND(0, 1) SEND(0, 2)
  PROMISED(1, 0) PROMISED(2, 0)
  CATCH_UP(1, 0) CATCH_UP(2, 0)
  od
}

active proctype Storage_1() {
end:
  do
  LEAD(1) LIVE(1) RECEIVE(0, 1)
  SEND(1, 0) SEND(1, 2)
  PROMISED(0, 1) PROMISED(2, 1)
  CATCH_UP(0, 1) CATCH_UP(2, 1)
  od
}

active proctype Log_2() {
end:
  do
  LIVE(2) RECEIVE(0, 2) RECEIVE(1, 2)
  CATCH_UP(0, 2) CATCH_UP(1, 2)
  od
}
