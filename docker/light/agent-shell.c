/*
 * agent-shell.c: the persistent bash.
 *
 * Covers: end-of-run marks travel on a descriptor that is closed while a command is evaluated, so that no program can
 * write one, whatever it prints; stale marks are dropped before a run. Does not cover: shell code itself, which can
 * change its own `$?`, redefine its builtins or search its saved descriptors: a verdict never rests on this shell.
 */
#include "agent.h"

#define SHORT_TEXT 1000 /* bash reads a pipe byte by byte: longer texts go by a memory file, which it reads in one piece */

/* 64 = command texts, 65 = marks out, 66 = long texts. The function keeps $? across runs. */
static char driver[] =
  "__polygym_status() { return $1; }; __polygym_last=0\n"
  "while IFS= read -r -d '' -u 64 __polygym_text; do\n"
  "  if [[ $__polygym_text == $'\\1' ]]; then IFS= read -r -d '' __polygym_text </proc/self/fd/66; fi\n"
  "  { __polygym_status $__polygym_last; eval \"$__polygym_text\"; } 64<&- 65>&- 66<&-\n"
  "  __polygym_last=$?; builtin printf '%d\\0' $__polygym_last >&65\n"
  "done";

static uint32_t index_of(const struct job *j) { return (uint32_t)(j - agent.jobs); }

/* text cwd, strings env */
void shell_open(uint32_t id, struct reader *r) {
  static char *env[4097];
  static char name[] = "bash", a1[] = "--noprofile", a2[] = "--norc", a3[] = "-c";
  char *argv[] = {name, a1, a2, a3, driver, NULL}, cwd[PATH_MAX];
  int n, theirs[6] = {-1, -1, -1, -1, -1, -1};
  get_text(r, cwd, sizeof cwd);
  get_strings(r, env, 2048, &n);
  struct job *j = r->bad ? NULL : job_new(id);
  if (!j) return agent_fail(id, r->bad ? "the request is malformed" : "too many commands run at once");
  add_base_env(env, n, 4096);
  j->is_shell = 1;
  j->answered = 1;
  theirs[0] = open("/dev/null", O_RDONLY | O_CLOEXEC);
  int bad = make_pipe(&j->out[0], &theirs[1], 1) < 0 || make_pipe(&j->out[1], &theirs[2], 1) < 0 ||
            make_pipe(&j->in, &theirs[3], 0) < 0 || make_pipe(&j->sentinel, &theirs[4], 1) < 0 ||
            (j->text = memfd_create("text", MFD_CLOEXEC)) < 0 || (theirs[5] = fcntl(j->text, F_DUPFD_CLOEXEC, 3)) < 0;
  struct spawn s = {.argv = argv, .envp = env, .cwd = cwd, .channel = -1, .fds = {theirs[0], theirs[1], theirs[2]}};
  for (int i = 0; i < 3; i++) s.extra[i] = theirs[3 + i];
  if (!bad) j->supervisor = spawn_supervised(&s, &j->status);
  int error = errno;
  for (int i = 0; i < 6; i++) if (theirs[i] >= 0) close(theirs[i]);
  if (bad || j->supervisor <= 0) {
    job_drop(j);
    return agent_fail(id, strerror(error));
  }
  agent_watch(j->status, ON_STATUS, index_of(j), EPOLLIN);
  agent_watch(j->sentinel, ON_SENTINEL, index_of(j), EPOLLIN);
  agent_answer(id, 'o', NULL, 0);
}

static void listen_to_output(struct job *j, int on) {
  for (int k = 0; k < 2; k++) {
    if (j->out[k] < 0) continue;
    if (on && !j->watched[k]) agent_watch(j->out[k], ON_OUTPUT + (uint32_t)k, index_of(j), EPOLLIN);
    if (!on && j->watched[k]) epoll_ctl(agent.epoll, EPOLL_CTL_DEL, j->out[k], NULL);
    j->watched[k] = on;
  }
}

/* A text without NUL bytes, as bash itself would read it. */
static size_t without_nul(uint8_t *text, size_t n) {
  size_t kept = 0;
  for (size_t i = 0; i < n; i++) if (text[i]) text[kept++] = text[i];
  return kept;
}

/* u32 shell, u32 timeout, u32 keep, u32 flags, the rest is the command */
void shell_run(uint32_t id, struct reader *r) {
  char stale[256];
  struct job *j = job_find(get_u32(r));
  uint32_t timeout = get_u32(r), keep = get_u32(r), flags = get_u32(r);
  if (r->bad || !j || !j->is_shell || j->status < 0 || !j->answered) return agent_fail(id, "the shell has ended");
  uint8_t *text = (uint8_t *)(uintptr_t)r->at;
  size_t n = without_nul(text, (size_t)(r->end - r->at));
  while (read(j->sentinel, stale, sizeof stale) > 0) {}
  job_begin_run(j, id, timeout, keep, flags);
  listen_to_output(j, 1);
  int sent;
  if (n < SHORT_TEXT && !(n == 1 && text[0] == 1)) {
    text[n] = 0; /* the frame's buffer has one spare byte */
    sent = write_all(j->in, text, n + 1);
  } else {
    sent = ftruncate(j->text, 0) == 0 && lseek(j->text, 0, SEEK_SET) == 0 && write_all(j->text, text, n) == 0 ? write_all(j->in, "\1", 2) : -1;
  }
  if (sent < 0) job_kill(j->id); /* a shell that no longer reads, or no memory for the text */
}

void shell_sentinel(struct job *j) {
  char mark[64];
  ssize_t n = read(j->sentinel, mark, sizeof mark - 1);
  if (n <= 0) {
    if (n == 0) epoll_ctl(agent.epoll, EPOLL_CTL_DEL, j->sentinel, NULL); /* the shell's own end tells the rest */
    return;
  }
  mark[n] = 0;
  if (j->answered) return;
  job_drain(j);
  listen_to_output(j, 0); /* what background jobs print later waits in the pipe for the next run */
  job_answer(j, EXITED_WITH(atoi(mark) & 255));
}
