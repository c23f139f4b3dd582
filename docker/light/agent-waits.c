/*
 * agent-waits.c: how long the programs inside waited for a processor that the machine did not have.
 *
 * Covers: the kernel's own account of the sandbox's group, less what the sandbox's quota withheld. It grows only while some
 * program could run and none did, so programs that take turns with each other add nothing to it, however many they are.
 * Does not cover: an ordinary user, an engine's containers and kernels without pressure accounts; nobody counts it there.
 */
#include "agent.h"

/* The number that follows `name`, from `line` on. */
static double number_after(int fd, const char *line, const char *name) {
  char text[512];
  ssize_t n = fd < 0 ? -1 : pread(fd, text, sizeof text - 1, 0);
  text[n > 0 ? n : 0] = 0;
  const char *from = strstr(text, line), *at = from ? strstr(from, name) : NULL;
  return at ? strtod(at + strlen(name), NULL) : -1;
}

double waited_ms(void) {
  double all = number_after(agent.pressure_fd, "full ", "total=") / 1e3; /* microseconds */
  if (all < 0) return -1;
  double v2 = number_after(agent.quota_fd, "throttled_usec ", "throttled_usec ");
  double v1 = number_after(agent.quota_fd, "throttled_time ", "throttled_time "); /* nanoseconds */
  double own = v2 >= 0 ? v2 / 1e3 : v1 >= 0 ? v1 / 1e6 : 0;
  return all > own ? all - own : 0;
}

/* -> u64 microseconds; nothing where nobody counts */
void waited_tell(uint32_t id) {
  double ms = waited_ms();
  size_t mark = frame_begin(&agent.out, id, 'o');
  if (ms >= 0) put_u64(&agent.out, (uint64_t)(ms * 1000));
  frame_end(&agent.out, mark);
}

void waited_begin(struct job *j) {
  j->waited = waited_ms();
  j->granted = 0;
}

/* What a command waited since its start, as far as it was not given already. A fraction of a look is no reason for another one. */
double waited_more(struct job *j) {
  double most = (j->timeout < MAX_GRANTED / 3 ? j->timeout * 3 : MAX_GRANTED), now = waited_ms();
  double due = j->waited < 0 || now < j->waited ? 0 : now - j->waited;
  double more = (due < most ? due : most) - j->granted;
  if (more < LEAST_GRANTED) return 0;
  j->granted += more;
  return more;
}
