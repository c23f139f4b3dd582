/*
 * agent-jobs.c: commands from request to answer: input, output with caps and back-pressure, time-outs.
 *
 * Covers: output beyond the cap never leaves the sandbox unless the worker asked for the stream; a slow worker stops the
 * program, not the agent; an answer comes when the command ends, even if something in the background holds its output; a
 * time-out does not count what the machine withheld (agent-waits.c).
 * Does not cover: background processes of a command that ended in time; they live on, as after any shell.
 */
#include "agent.h"

struct job *job_find(uint32_t id) {
  for (int i = 0; i < MAX_JOBS; i++)
    if (agent.jobs[i].used && agent.jobs[i].id == id) return &agent.jobs[i];
  return NULL;
}

struct job *job_new(uint32_t id) {
  for (int i = 0; i < MAX_JOBS; i++) {
    struct job *j = &agent.jobs[i];
    if (j->used) continue;
    *j = (struct job){.used = 1, .id = id, .run = id, .in = -1, .status = -1, .out = {-1, -1, -1}, .sentinel = -1, .text = -1};
    return j;
  }
  return NULL;
}

static uint32_t index_of(const struct job *j) { return (uint32_t)(j - agent.jobs); }
static void shut(int *fd) {
  if (*fd >= 0) agent_unwatch(*fd);
  *fd = -1;
}

void job_drop(struct job *j) {
  shut(&j->in);
  shut(&j->status);
  shut(&j->sentinel);
  shut(&j->text);
  for (int k = 0; k < OUT_KINDS; k++) {
    shut(&j->out[k]);
    free(j->tail[k].ring);
  }
  buffer_free(&j->input);
  j->used = 0;
}

/* Strings of a frame stay in place; the sender puts a NUL after each. */
char **get_strings(struct reader *r, char **first, int room, int *n) {
  uint32_t count = get_u32(r);
  *n = 0;
  if (count > (uint32_t)room) {
    r->bad = 1;
    return first;
  }
  for (uint32_t i = 0; i < count && !r->bad; i++) {
    uint32_t length = get_u32(r);
    const uint8_t *p = get_bytes(r, length);
    const uint8_t *end = get_bytes(r, 1);
    if (!p || !end || *end || memchr(p, 0, length)) r->bad = 1;
    else first[(*n)++] = (char *)(uintptr_t)p;
  }
  first[*n] = NULL;
  return first;
}

static int same_name(const char *a, const char *b) {
  size_t n = strcspn(a, "=");
  return !strncmp(a, b, n + 1);
}

/* Adds the base environment behind the request's own entries; a name given twice counts once. */
void add_base_env(char **env, int n, int room) {
  for (char **e = agent.base_env; e && *e && n < room; e++) {
    int hidden = 0;
    for (int k = 0; k < n && !hidden; k++) hidden = same_name(*e, env[k]);
    if (!hidden) env[n++] = *e;
  }
  env[n] = NULL;
}

int make_pipe(int *ours, int *theirs, int we_read) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) < 0) return -1;
  *ours = ends[we_read ? 0 : 1];
  *theirs = ends[we_read ? 1 : 0];
  fcntl(*ours, F_SETFL, O_NONBLOCK);
  return 0;
}

void job_begin_run(struct job *j, uint32_t run, uint32_t timeout, uint32_t keep, uint32_t flags) {
  j->run = run;
  j->started = now_ms();
  j->timeout = timeout;
  j->deadline = timeout ? j->started + timeout : NO_DEADLINE;
  waited_begin(j);
  j->keep = keep;
  j->flags = flags;
  j->answered = j->timed_out = 0;
  j->ooms = agent_ooms();
  for (int k = 0; k < OUT_KINDS; k++) {
    j->total[k] = 0;
    j->tail[k].filled = j->tail[k].at = 0;
  }
}

/* A script longer than one kernel argument (128 KiB) goes by a memory file: `sh -c TEXT` becomes `sh -c '. /proc/self/fd/N'`. */
static int long_script(char **argv, int n) {
  const char *name = strrchr(argv[0], '/') ? strrchr(argv[0], '/') + 1 : argv[0];
  if (n < 3 || (strcmp(name, "bash") && strcmp(name, "sh")) || argv[1][0] != '-' || !strchr(argv[1], 'c')) return -1;
  size_t length = strlen(argv[2]);
  if (length < 131072) return -1;
  int fd = memfd_create("script", MFD_CLOEXEC);
  if (fd < 0 || write_all(fd, argv[2], length) < 0) return -1;
  static char by_file[] = ". /proc/self/fd/64";
  argv[2] = by_file;
  return fd;
}

/* Makes the command's three streams; answers 0 when they are there. */
static int make_streams(struct job *j, int theirs[3], struct reader *size) {
  int bad = 0;
  if (j->flags & FLAG_PTY) return (theirs[1] = terminal_open(j, size)) < 0;
  if (j->flags & FLAG_STDIN) bad |= make_pipe(&j->in, &theirs[0], 0) < 0;
  else theirs[0] = open("/dev/null", O_RDONLY | O_CLOEXEC);
  bad |= make_pipe(&j->out[OUT_STDOUT], &theirs[1], 1) < 0;
  if (!(j->flags & FLAG_MERGE)) bad |= make_pipe(&j->out[OUT_STDERR], &theirs[2], 1) < 0;
  return bad;
}

static void launch(struct job *j, struct spawn *s, struct reader *size) {
  int theirs[4] = {-1, -1, -1, -1}, bad = make_streams(j, theirs, size);
  if (!bad && j->flags & FLAG_CHANNEL) bad |= make_pipe(&j->out[OUT_CHANNEL], &theirs[3], 1) < 0;
  s->terminal = (j->flags & FLAG_PTY) != 0;
  s->merge = s->terminal || j->flags & FLAG_MERGE;
  for (int i = 0; i < 3; i++) s->fds[i] = s->terminal || (i == 2 && s->merge) ? theirs[1] : theirs[i];
  s->channel = theirs[3];
  if (!bad) j->supervisor = spawn_supervised(s, &j->status);
  int error = errno;
  for (int i = 0; i < 4; i++) if (theirs[i] >= 0) close(theirs[i]);
  if (j->supervisor > 0 && !bad) return;
  agent_fail(j->run, strerror(error));
  j->supervisor = 0;
  job_drop(j);
}

static void name_terminal(char **env) {
  static char name[] = "TERM=xterm-256color";
  int n = 0;
  for (; env[n]; n++) if (!strncmp(env[n], "TERM=", 5)) return;
  env[n] = name;
  env[n + 1] = NULL;
}

/* u32 flags, u32 timeout, u32 keep, text cwd, strings argv, strings env; with FLAG_PTY u32 columns, u32 rows */
void job_start(uint32_t id, struct reader *r) {
  static char *argv[MAX_ARGUMENTS + 1], *env[MAX_ARGUMENTS + 2];
  char cwd[PATH_MAX];
  struct spawn s = {.argv = argv, .envp = env, .cwd = cwd, .channel = -1, .extra = {-1, -1, -1}};
  int argc, nenv;
  uint32_t flags = get_u32(r), timeout = get_u32(r), keep = get_u32(r);
  get_text(r, cwd, sizeof cwd);
  get_strings(r, argv, MAX_ARGUMENTS, &argc);
  get_strings(r, env, MAX_ARGUMENTS, &nenv);
  struct job *j = r->bad || argc == 0 ? NULL : job_new(id);
  if (!j) return agent_fail(id, r->bad || argc == 0 ? "the request is malformed" : "too many commands run at once");
  job_begin_run(j, id, timeout, keep, flags);
  s.extra[0] = long_script(argv, argc);
  add_base_env(env, nenv, MAX_ARGUMENTS);
  if (flags & FLAG_PTY) name_terminal(env);
  launch(j, &s, r);
  if (s.extra[0] >= 0) close(s.extra[0]);
  if (!j->used) return;
  for (int k = 0; k < OUT_KINDS; k++)
    if (j->out[k] >= 0) agent_watch(j->out[k], ON_OUTPUT + (uint32_t)k, index_of(j), EPOLLIN), j->watched[k] = 1;
  agent_watch(j->status, ON_STATUS, index_of(j), EPOLLIN);
}

static void keep_tail(struct job *j, int kind, const uint8_t *data, size_t n) {
  struct tail *t = &j->tail[kind];
  uint32_t room = j->keep - j->keep / 2;
  if (room == 0) return;
  if (!t->ring || t->room != room) {
    free(t->ring);
    *t = (struct tail){malloc(room), room, 0, 0};
    if (!t->ring) return;
  }
  if (n > room) data += n - room, n = room;
  size_t first = n < room - t->at ? n : room - t->at;
  memcpy(t->ring + t->at, data, first);
  memcpy(t->ring, data + first, n - first);
  t->at = (uint32_t)((t->at + n) % room);
  t->filled = t->filled + n > room ? room : t->filled + (uint32_t)n;
}

static void take_output(struct job *j, int kind, const uint8_t *data, size_t n) {
  static const uint8_t types[OUT_KINDS] = {'O', 'R', 'H'};
  uint64_t before = j->total[kind];
  j->total[kind] += n;
  if (j->answered) return;
  if (j->flags & FLAG_STREAM || kind == OUT_CHANNEL) return agent_answer(j->run, types[kind], data, n);
  uint64_t head = j->keep / 2;
  size_t direct = before >= head ? 0 : head - before < n ? (size_t)(head - before) : n;
  if (direct > 0) agent_answer(j->run, types[kind], data, direct);
  if (direct < n) keep_tail(j, kind, data + direct, n - direct);
}

/* Reads one stream up to `most` bytes; 0 when there is nothing now, -1 at its end. */
static int read_stream(struct job *j, int kind, size_t most) {
  static uint8_t data[CHUNK];
  while (most > 0) {
    ssize_t n = read(j->out[kind], data, sizeof data);
    if (n < 0) return errno == EIO ? -1 : 0; /* EIO: nobody has the terminal open any more */
    if (n == 0) return -1;
    take_output(j, kind, data, (size_t)n);
    most = (size_t)n > most ? 0 : most - (size_t)n;
  }
  return 0;
}

void job_output(struct job *j, int kind) {
  if (j->out[kind] < 0) return;
  if (read_stream(j, kind, CHUNK) < 0) shut(&j->out[kind]);
}

/* What a command wrote before it ended is in its pipes; a background flood may not hold up the answer. */
void job_drain(struct job *j) {
  for (int k = 0; k < OUT_KINDS; k++)
    if (j->out[k] >= 0 && read_stream(j, k, 2u << 20) < 0) shut(&j->out[k]);
}

static void send_tails(struct job *j) {
  static const uint8_t types[OUT_KINDS] = {'O', 'R', 'H'};
  for (int k = 0; k < OUT_KINDS; k++) {
    struct tail *t = &j->tail[k];
    uint32_t start = t->filled < t->room ? 0 : t->at;
    for (uint32_t sent = 0; sent < t->filled;) {
      uint32_t at = (start + sent) % t->room, n = t->filled - sent;
      if (n > t->room - at) n = t->room - at;
      if (n > CHUNK) n = CHUNK;
      agent_answer(j->run, types[k], t->ring + at, n);
      sent += n;
    }
    free(t->ring);
    *t = (struct tail){0};
  }
}

/* u32 status, u8 timed out, u8 out of memory, u8 shell ended, u64 stdout bytes, u64 stderr bytes, u64 microseconds */
void job_answer(struct job *j, int status) {
  if (j->answered) return;
  send_tails(j);
  j->answered = 1;
  j->deadline = NO_DEADLINE;
  size_t mark = frame_begin(&agent.out, j->run, 'X');
  put_u32(&agent.out, (uint32_t)status);
  put_u8(&agent.out, (uint8_t)j->timed_out);
  put_u8(&agent.out, agent_ooms() != j->ooms);
  put_u8(&agent.out, (uint8_t)(!j->is_shell || j->status < 0));
  put_u64(&agent.out, j->total[OUT_STDOUT]);
  put_u64(&agent.out, j->total[OUT_STDERR]);
  put_u64(&agent.out, (uint64_t)((now_ms() - j->started) * 1000));
  frame_end(&agent.out, mark);
}

/* The supervisor tells the command's status. Silence means that a program killed it, to escape or by `kill -9 -1`. */
void job_status(struct job *j) {
  int status = SIGKILL;
  ssize_t n = read(j->status, &status, sizeof status);
  if (n < 0 && errno == EAGAIN) return;
  shut(&j->status);
  if (n != sizeof status && !j->killed) kill_all();
  if (n != sizeof status) status = SIGKILL;
  job_drain(j);
  job_answer(j, status);
}

/* Every process inside descends from the supervisor of a job. */
static int runs_alone(const struct job *j) {
  for (int i = 0; i < MAX_JOBS; i++)
    if (agent.jobs[i].used && &agent.jobs[i] != j && agent.jobs[i].supervisor > 0) return 0;
  return 1;
}

static void end_job(struct job *j) {
  if (j->killed || j->supervisor <= 0) return;
  j->killed = 1;
  if (runs_alone(j) || kill_tree(j->supervisor) < 0) kill_all(); /* one call for all: no bomb outruns it */
}

void job_kill(uint32_t id) {
  struct job *j = job_find(id);
  if (j) end_job(j);
}

/* A supervisor ends when nothing that it started is left. */
void job_child(pid_t pid) {
  for (int i = 0; i < MAX_JOBS; i++) {
    struct job *j = &agent.jobs[i];
    if (!j->used || j->supervisor != pid) continue;
    j->supervisor = 0;
    if (j->status >= 0) job_status(j);
    job_drop(j);
  }
}

double jobs_deadline(void) {
  double first = NO_DEADLINE;
  for (int i = 0; i < MAX_JOBS; i++) {
    struct job *j = &agent.jobs[i];
    if (j->used && j->deadline > 0 && (first == NO_DEADLINE || j->deadline < first)) first = j->deadline;
  }
  return first;
}

void jobs_expire(void) {
  double now = now_ms();
  for (int i = 0; i < MAX_JOBS; i++) {
    struct job *j = &agent.jobs[i];
    if (!j->used || j->deadline <= 0 || j->deadline > now) continue;
    double more = waited_more(j);
    if (more > 0) {
      j->deadline += more;
      continue;
    }
    j->deadline = NO_DEADLINE;
    j->timed_out = 1;
    end_job(j);
  }
}

void jobs_pause(int paused) {
  for (uint32_t i = 0; i < MAX_JOBS; i++) {
    struct job *j = &agent.jobs[i];
    for (int k = 0; j->used && k < OUT_KINDS; k++) {
      if (j->out[k] < 0) continue;
      struct epoll_event e = {.events = paused ? 0 : EPOLLIN, .data.u64 = (uint64_t)(ON_OUTPUT + k) << 32 | i};
      if (j->watched[k]) epoll_ctl(agent.epoll, EPOLL_CTL_MOD, j->out[k], &e);
    }
  }
}

static void end_input(struct job *j) {
  if (j->flags & FLAG_PTY && j->in >= 0) terminal_end_input(j);
  else shut(&j->in);
}

static void tell_taken(uint32_t id, uint32_t bytes) {
  size_t mark = frame_begin(&agent.out, id, 'i');
  put_u32(&agent.out, bytes);
  frame_end(&agent.out, mark);
}

/*
 * Input waits in the agent until the program takes it. The worker stops when it has sent more than it was told of ('i'): the
 * lines of a conversation cost no answer, and a program that does not read holds a bounded buffer.
 */
static void feed(struct job *j) {
  int r = j->in < 0 ? -1 : buffer_flush(&j->input, j->in);
  if (r == 1 && !j->fed_later) agent_watch(j->in, ON_INPUT, index_of(j), EPOLLOUT);
  if (r == 1) return (void)(j->fed_later = 1);
  if (r < 0) shut(&j->in); /* a program that does not read is not an error */
  if (j->in >= 0 && j->fed_later) epoll_ctl(agent.epoll, EPOLL_CTL_DEL, j->in, NULL);
  j->fed_later = 0;
  buffer_free(&j->input);
  if (j->untold >= TOLD_BYTES || j->in < 0) tell_taken(j->id, j->untold), j->untold = 0;
  if (j->close_input) end_input(j);
}

void job_writable(struct job *j) { feed(j); }

void job_input(uint32_t id, struct reader *r) {
  struct job *j = job_find(id);
  uint32_t bytes = (uint32_t)(r->end - r->at);
  if (!j || j->in < 0) return tell_taken(id, bytes);
  buffer_add(&j->input, r->at, bytes);
  j->untold += bytes;
  if (!j->fed_later) feed(j);
}

void job_close_input(uint32_t id) {
  struct job *j = job_find(id);
  if (!j) return;
  j->close_input = 1;
  if (j->input.from == j->input.to) end_input(j);
}
