/* Once faults have ended, somebody leads and a write is committed: what a group does until then, and whether it ends.
   tests/models/README.md says what each rule stands for in the code, and what is left out. */

#define NODES 3   /* the last has a log only: it votes but never leads */
#define BALLOTS 7 /* odd ones are member 0's, the others member 1's; asserted to be enough */
#define FAULTY 2  /* how many of them may be taken before faults end */
#define SLOTS 2   /* no leader knows the last to be committed before faults have ended */
#define ROOM 9    /* messages on their way to a member, after faults have ended; asserted to be enough */
#define CROWD 1   /* ... before; who sends while there are as many sends in vain */
#define EARLY 1   /* how often a timer goes off in spite of messages on their way, after faults have ended: duels */

/* Broken on purpose: 1 breaks a rule, and what must come about does not */
#define GIVES_UP 0        /* a candidate that was outbid never stands again */
#define LEARNS_NOTHING 0  /* ... or stands again without a look at what it was outbid by */
#define HOLDS_ON 0        /* a leader that hears of a higher ballot leads on */
#define LEAVES_HOLES 0    /* a leader does not send what a follower says it lacks */
#define ASKS_NOBODY 0     /* a leader does not ask again how far a follower is that did not answer */
#define PROPOSES_NOTHING 0 /* a leader does not propose again what phase 1 brought */
#define SAYS_NOTHING 0    /* who is asked whether it leads, and does not, does not answer */
#define WAITS_FOR_EVER 0  /* who waits for another to lead does not ask it whether it does */

mtype = { FOLLOWER, CANDIDATE, LEADER };
mtype = { PREPARE, PROMISE, LOWER, ACCEPT, HOLE, ACCEPTED, COMMIT, QUERY, RELEASE };

/* What is in an entry makes no difference here: a log is how long it is. On disk: */
byte promised[NODES];
byte last[NODES];

/* In memory. The log agrees with the leader of `promised` up to `matched`. */
mtype role[NODES] = FOLLOWER;
byte commit[NODES];
byte matched[NODES];
byte heard[NODES];    /* the highest ballot that it has heard of */
byte released[NODES]; /* a ballot that is known to be led no more */
bool led[NODES];      /* the owner of `promised` has been seen to lead */
byte ballot[2];       /* of the two that may lead */
byte acked[2 * NODES];
byte since[2];        /* with PROPOSES_NOTHING: behind what phase 1 brought */
bool gave_up[2];      /* with GIVES_UP */

chan inbox[NODES] = [ROOM] of { mtype, byte, byte, byte, byte, byte };

bool stable; /* faults have ended */
byte dead = NODES;  /* who is not there any more; NODES: all are */
bool fired[NODES]; /* whose timer has gone off in this round */
byte early;
bool served;

bool ballots_suffice = true;
bool messages_have_room = true;

/* Of one step only */
hidden mtype kind;
hidden byte by, b, x, y, z, n;

#define OWNER(of) (((of) + 1) % 2)
#define MAX(p, q) ((p) > (q) -> (p) : (q))
/* The next of its own above all that it has heard of. One that nobody has promised may as well be taken again. */
#define ABOVE(me) MAX(heard[me], promised[me])
#define NEXT_BALLOT(me) (ABOVE(me) + ((ABOVE(me) + (me)) % 2 -> 2 : 1))
#define QUIET (len(inbox[0]) + len(inbox[1]) + len(inbox[2]) == 0)

/* Grants go from node to node, and a node that is there is granted to. Before faults have ended they have lapsed. */
#define IS_FOLLOWING(me, leader) (me != leader && me != dead && promised[me] == ballot[leader])
#define HAS_LEASE(me) (IS_FOLLOWING(0, me) || IS_FOLLOWING(1, me) || IS_FOLLOWING(2, me))
#define IS_BOUND(me, candidate, ballot_) (stable && (role[me] == LEADER -> HAS_LEASE(me) : \
  promised[me] > 0 && OWNER(promised[me]) != me && OWNER(promised[me]) != candidate && OWNER(promised[me]) != dead \
  && promised[me] != ballot_ && promised[me] != released[me]))

inline send(me, to, k, b_, x_, y_, z_) {
  if
  :: to == dead
  :: to != dead && len(inbox[to]) < (stable -> ROOM : CROWD) -> inbox[to] ! k, me, b_, x_, y_, z_
  :: to != dead && len(inbox[to]) >= (stable -> ROOM : CROWD) ->
    messages_have_room = !stable; assert(messages_have_room)
  fi
}

inline send_others(me, k, b_, x_, y_, z_) {
  send(me, (me + 1) % NODES, k, b_, x_, y_, z_);
  send(me, (me + 2) % NODES, k, b_, x_, y_, z_)
}

inline step_down(me) {
  role[me] = FOLLOWER;
  if
  :: me < 2 ->
    ballot[me] = 0; since[me] = 0;
    for (n : 0 .. NODES - 1) { acked[me * NODES + n] = 0 }
  :: me >= 2
  fi
}

inline stand(me) {
  step_down(me);
  if
  :: stable || NEXT_BALLOT(me) <= FAULTY ->
    ballots_suffice = (NEXT_BALLOT(me) <= BALLOTS);
    assert(ballots_suffice);
    role[me] = CANDIDATE;
    ballot[me] = NEXT_BALLOT(me);
    send_others(me, PREPARE, ballot[me], released[me], 0, 0)
  :: !stable && NEXT_BALLOT(me) > FAULTY
  fi
}

/* What this member has promised itself, and another, is all that may have been chosen. */
inline win(me, told) {
  role[me] = LEADER;
  promised[me] = ballot[me];
  led[me] = false;
  last[me] = MAX(last[me], told);
  if
  :: PROPOSES_NOTHING && last[me] > commit[me] -> since[me] = last[me]
  :: !PROPOSES_NOTHING && last[me] > commit[me] ->
    send_others(me, ACCEPT, ballot[me], commit[me] + 1, last[me], commit[me])
  :: last[me] == commit[me] -> send_others(me, COMMIT, ballot[me], commit[me], 0, 0)
  fi;
  matched[me] = last[me]
}

/* A leader's own disk is one of two that an entry has to be on. */
inline advance_commit(me) {
  for (n : 0 .. NODES - 1) { commit[me] = MAX(commit[me], acked[me * NODES + n]) }
  served = (commit[me] == SLOTS)
}

inline send_missing(me, to, after) {
  n = MAX(after, since[me]) + 1;
  send(me, to, ACCEPT, ballot[me], n, last[me], commit[me])
}

inline adopt(me) {
  heard[me] = MAX(heard[me], b);
  if
  :: b > promised[me] -> step_down(me); promised[me] = b; matched[me] = commit[me]
  :: b == promised[me] -> if :: role[me] == CANDIDATE -> step_down(me) :: role[me] != CANDIDATE fi
  fi;
  led[me] = true
}

inline handle(me) {
  if
  :: kind == PREPARE ->
    heard[me] = MAX(heard[me], b);
    if
    :: b < promised[me] -> send(me, by, LOWER, b, promised[me], 0, 0)
    :: b >= promised[me] && IS_BOUND(me, by, x)
    :: b >= promised[me] && !IS_BOUND(me, by, x) ->
      step_down(me);
      if :: b > promised[me] -> promised[me] = b; led[me] = false; matched[me] = commit[me] :: b == promised[me] fi;
      send(me, by, PROMISE, b, last[me], 0, 0)
    fi
  :: kind == PROMISE ->
    if
    :: me < 2 && role[me] == CANDIDATE && ballot[me] == b -> win(me, x)
    :: !(me < 2 && role[me] == CANDIDATE && ballot[me] == b)
    fi
  :: kind == LOWER ->
    if :: !LEARNS_NOTHING -> heard[me] = MAX(heard[me], x) :: LEARNS_NOTHING fi;
    if
    :: me < 2 && role[me] == LEADER && ballot[me] == b && !HOLDS_ON -> released[me] = b; stand(me)
    :: me < 2 && role[me] == CANDIDATE && ballot[me] == b && GIVES_UP -> gave_up[me] = true
    :: else
    fi
  :: kind == ACCEPT ->
    if
    :: b < promised[me] -> send(me, by, LOWER, b, promised[me], 0, 0)
    :: b >= promised[me] ->
      adopt(me);
      if
      :: x > matched[me] + 1 -> send(me, by, HOLE, b, matched[me], 0, 0)
      :: x <= matched[me] + 1 ->
        last[me] = MAX(last[me], y);
        matched[me] = MAX(matched[me], y);
        commit[me] = MAX(commit[me], (z < matched[me] -> z : matched[me]));
        send(me, by, ACCEPTED, b, matched[me], 0, 0)
      fi
    fi
  :: kind == COMMIT ->
    if
    :: b < promised[me] -> send(me, by, LOWER, b, promised[me], 0, 0)
    :: b >= promised[me] ->
      adopt(me);
      commit[me] = MAX(commit[me], (x < matched[me] -> x : matched[me]));
      if
      :: x > matched[me] -> send(me, by, HOLE, b, matched[me], 0, 0)
      :: x <= matched[me] -> send(me, by, ACCEPTED, b, matched[me], 0, 0)
      fi
    fi
  :: kind == HOLE || kind == ACCEPTED ->
    if
    :: me < 2 && role[me] == LEADER && ballot[me] == b ->
      if
      :: kind == HOLE ->
        acked[me * NODES + by] = (x < acked[me * NODES + by] -> x : acked[me * NODES + by]);
        if :: !LEAVES_HOLES -> send_missing(me, by, x) :: LEAVES_HOLES fi
      :: kind == ACCEPTED ->
        if :: !stable && x == SLOTS -> x = SLOTS - 1 :: stable || x < SLOTS fi;
        acked[me * NODES + by] = MAX(acked[me * NODES + by], x);
        advance_commit(me);
        if
        :: acked[me * NODES + by] < last[me] -> send_missing(me, by, acked[me * NODES + by])
        :: acked[me * NODES + by] >= last[me]
        fi
      fi
    :: !(me < 2 && role[me] == LEADER && ballot[me] == b)
    fi
  :: kind == QUERY ->
    if
    :: me < 2 && role[me] == LEADER && ballot[me] >= b -> send(me, by, COMMIT, ballot[me], commit[me], 0, 0)
    :: role[me] == CANDIDATE && ballot[me] == b
    :: else ->
      heard[me] = MAX(heard[me], b);
      if :: b == promised[me] -> released[me] = b :: b != promised[me] fi;
      if :: !SAYS_NOTHING -> send(me, by, RELEASE, b, 0, 0, 0) :: SAYS_NOTHING fi
    fi
  :: kind == RELEASE ->
    if
    :: b == promised[me] && role[me] != LEADER -> released[me] = b
    :: b > promised[me] && role[me] != LEADER -> led[me] = false
    :: else
    fi
  fi;
  kind = 0; by = 0; b = 0; x = 0; y = 0; z = 0
}

/* A leader proposes what clients bring, or asks those how far they are who have not acknowledged everything. */
inline tick_leader(me) {
  if
  :: last[me] < SLOTS && (stable || commit[me] == last[me]) ->
    last[me]++;
    matched[me] = last[me];
    send_others(me, ACCEPT, ballot[me], last[me], last[me], commit[me])
  :: else ->
    y = (me + 1) % NODES;
    if
    :: acked[me * NODES + y] < last[me] && !ASKS_NOBODY -> send(me, y, COMMIT, ballot[me], commit[me], 0, 0)
    :: else
    fi;
    y = (me + 2) % NODES;
    if
    :: acked[me * NODES + y] < last[me] && !ASKS_NOBODY -> send(me, y, COMMIT, ballot[me], commit[me], 0, 0)
    :: else
    fi;
    y = 0
  fi
}

inline tick(me) {
  if
  :: me < 2 && role[me] == LEADER -> tick_leader(me)
  :: role[me] != LEADER && IS_BOUND(me, me, 0) ->
    step_down(me);
    if
    :: (me == 2 || !led[me]) && !WAITS_FOR_EVER -> send(me, OWNER(promised[me]), QUERY, promised[me], 0, 0, 0)
    :: else
    fi
  :: me < 2 && role[me] != LEADER && !IS_BOUND(me, me, 0) && !gave_up[me] -> stand(me)
  :: else
  fi;
  b = 0
}

inline restart(me) {
  step_down(me);
  matched[me] = commit[me]; heard[me] = promised[me]; released[me] = 0; led[me] = false;
  if :: me < 2 -> gave_up[me] = false :: me >= 2 fi
}

proctype Member(byte me) {
end:
  do
  :: d_step { !served && nempty(inbox[me]) -> inbox[me] ? kind, by, b, x, y, z; handle(me) }
  od
}

#define FAULT(me) \
  :: inbox[me] ? _, _, _, _, _, _ \
  :: d_step { QUIET && (role[me] != FOLLOWER || matched[me] > commit[me] || led[me] || released[me] > 0 \
        || heard[me] > promised[me]) -> \
      restart(me); b = 0 } \
  :: d_step { QUIET && me < 2 && (role[me] == LEADER || NEXT_BALLOT(me) <= FAULTY) -> tick(me) }

/* A member's timer goes off when nothing is on its way, as messages take less time, and each member's goes off once
   before any goes off again. EARLY times that of somebody who does not lead goes off all the same. */
#define TIMER(me) \
  :: d_step { !served && me != dead && !fired[me] && (QUIET || (early < EARLY && me < 2 && role[me] != LEADER)) -> \
      if :: QUIET :: else -> early++ fi; fired[me] = true; tick(me) }

proctype Surroundings() {
  do
  :: true -> break
  FAULT(0) FAULT(1) FAULT(2)
  od;
  if :: dead = 1 :: dead = 0 :: dead = 2 :: dead = NODES fi;
  d_step {
    if
    :: dead < NODES ->
      restart(dead);
      do :: nempty(inbox[dead]) -> inbox[dead] ? _, _, _, _, _, _ :: empty(inbox[dead]) -> break od
    :: dead == NODES
    fi;
    stable = true
  }
end:
  do
  TIMER(0) TIMER(1) TIMER(2)
  :: d_step { !served && (fired[0] || dead == 0) && (fired[1] || dead == 1) && (fired[2] || dead == 2) ->
      fired[0] = false; fired[1] = false; fired[2] = false }
  od
}

init { atomic { run Member(0); run Member(1); run Member(2); run Surroundings() } }

ltl a_write_is_committed_once_faults_have_ended { [] (stable -> <> served) }
