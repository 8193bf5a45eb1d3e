/* The post client: posts bodies to 127.0.0.1 over keep-alive connections, one request at a time each, and measures.
 *
 *     post --port P --path PATH --type MEDIA-TYPE --bodies DIRECTORY [--connections 64] [--seconds 5] [--rate 0]
 *          [--header TEXT]
 *
 * The files of DIRECTORY are the bodies, taken in turns by name. With a rate the posts are due at even times, and a latency
 * counts from when a post was due: what waits for a slow answer is not left out. Without, each connection posts again as
 * soon as it has its answer. Prints one line of JSON.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "latency.h"

enum { MAX_BODIES = 4096, ANSWER = 1 << 16 };

struct request { char *bytes; size_t size; };
struct conn { int fd; bool busy; size_t sent; const struct request *request; int64_t due_us; char answer[ANSWER]; size_t held; };

static struct request requests[MAX_BODIES];
static int request_count, epoll, port, connections = 64;
static double seconds = 5, rate;
static int64_t next_body, histogram[BUCKETS], max_us, answered, good, bytes_sent, statuses[600];

static int64_t now_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000LL + t.tv_nsec / 1000;
}

static double percentile(double share) {
    int64_t seen = 0;
    for (int i = 0; i < BUCKETS; i++)
        if ((double)(seen += histogram[i]) >= share * (double)answered) return bucket_ms(i);
    return 0;
}

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static int by_name(const struct dirent **a, const struct dirent **b) { return strcmp((*a)->d_name, (*b)->d_name); }

static void read_bodies(const char *directory, const char *path, const char *type, const char *header) {
    struct dirent **names;
    int count = scandir(directory, &names, NULL, by_name);
    if (count < 0) fail(directory);
    for (int i = 0; i < count && request_count < MAX_BODIES; i++) {
        char file[4096];
        struct stat info;
        snprintf(file, sizeof file, "%s/%s", directory, names[i]->d_name);
        if (stat(file, &info) || !S_ISREG(info.st_mode)) continue;
        struct request *r = &requests[request_count++];
        r->bytes = malloc((size_t)info.st_size + 4096);
        int head = snprintf(r->bytes, 4096, "POST %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nContent-Type: %s\r\n%s%sContent-Length: %lld\r\n\r\n",
                            path, port, type, header, *header ? "\r\n" : "", (long long)info.st_size);
        int fd = open(file, O_RDONLY);
        if (fd < 0 || read(fd, r->bytes + head, (size_t)info.st_size) != info.st_size) fail(file);
        close(fd);
        r->size = (size_t)head + (size_t)info.st_size;
    }
    if (!request_count) fail("no bodies");
}

static void watch(struct conn *c, uint32_t events) {
    struct epoll_event e = {.events = events, .data.ptr = c};
    epoll_ctl(epoll, EPOLL_CTL_MOD, c->fd, &e);
}

static void push(struct conn *c) {
    ssize_t sent = send(c->fd, c->request->bytes + c->sent, c->request->size - c->sent, MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN) fail("send");
    if (sent > 0) c->sent += (size_t)sent, bytes_sent += sent;
    watch(c, c->sent < c->request->size ? EPOLLIN | EPOLLOUT : EPOLLIN);
}

static void post(struct conn *c, int64_t due_us) {
    c->busy = true;
    c->request = &requests[next_body++ % request_count];
    c->sent = c->held = 0;
    c->due_us = due_us;
    push(c);
}

static struct conn *connected(void) {
    struct conn *c = calloc(1, sizeof *c);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(c->fd, (struct sockaddr *)&address, sizeof address)) fail("connect");
    int one = 1;
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    fcntl(c->fd, F_SETFL, O_NONBLOCK);
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};
    epoll_ctl(epoll, EPOLL_CTL_ADD, c->fd, &e);
    return c;
}

/* Whether a whole answer is held. */
static bool complete(struct conn *c) {
    c->answer[c->held] = 0;
    char *end = strstr(c->answer, "\r\n\r\n");
    if (!end) return false;
    size_t head = (size_t)(end + 4 - c->answer);
    char *length = strcasestr(c->answer, "\r\ncontent-length:");
    if (length && length < end) return c->held >= head + strtoull(length + 17, NULL, 10);
    char *chunked = strcasestr(c->answer, "\r\ntransfer-encoding:");
    return !chunked || chunked > end || (c->held >= 5 && !memcmp(c->answer + c->held - 5, "0\r\n\r\n", 5));
}

static bool readable(struct conn *c) {
    ssize_t size = recv(c->fd, c->answer + c->held, ANSWER - 1 - c->held, 0);
    if (size < 0 && (errno == EAGAIN || errno == EINTR)) return false;
    if (size <= 0) {
        fprintf(stderr, "the server closed a connection\n");
        exit(1);
    }
    c->held += (size_t)size;
    if (!complete(c)) {
        if (c->held >= ANSWER - 1) fail("an answer is too long");
        return false;
    }
    int status = atoi(c->answer + 9);
    int64_t took = now_us() - c->due_us;
    if (took > max_us) max_us = took;
    histogram[bucket(took)]++;
    answered++;
    good += status >= 200 && status < 300;
    if (status >= 0 && status < 600) statuses[status]++;
    c->busy = false;
    return true;
}

int main(int argc, char **argv) {
    const char *path = "/", *type = "application/json", *bodies = ".", *header = "";
    for (int i = 1; i + 1 < argc; i += 2) {
        const char *name = argv[i] + 2, *value = argv[i + 1];
        if (!strcmp(name, "port")) port = atoi(value);
        else if (!strcmp(name, "path")) path = value;
        else if (!strcmp(name, "type")) type = value;
        else if (!strcmp(name, "bodies")) bodies = value;
        else if (!strcmp(name, "header")) header = value;
        else if (!strcmp(name, "connections")) connections = atoi(value);
        else if (!strcmp(name, "seconds")) seconds = atof(value);
        else if (!strcmp(name, "rate")) rate = atof(value);
        else return fprintf(stderr, "unknown option %s\n", argv[i]), 2;
    }
    read_bodies(bodies, path, type, header);
    epoll = epoll_create1(EPOLL_CLOEXEC);
    struct conn **all = calloc((size_t)connections, sizeof *all);
    for (int i = 0; i < connections; i++) all[i] = connected();
    struct epoll_event events[256];
    int64_t started = now_us(), end = started + (int64_t)(seconds * 1e6), posted = 0, open = 0;
    int turn = 0;
    if (rate == 0)
        for (int i = 0; i < connections; i++, posted++, open++) post(all[i], now_us());
    while (true) {
        int64_t now = now_us();
        if (now >= end && (!open || now > end + 10000000)) break;
        int64_t wait_us = now >= end ? 10000 : end - now;
        if (rate > 0 && now < end) {
            int64_t due;
            for (int looked = 0; (due = started + (int64_t)((double)posted * 1e6 / rate)) <= now && looked < connections; looked++) {
                struct conn *c = all[turn++ % connections];
                if (c->busy) continue;
                looked = -1;
                post(c, due);
                posted++, open++;
            }
            if (due - now < wait_us) wait_us = due > now ? due - now : open == connections ? 10000 : 0;
        }
        struct timespec wait = {.tv_sec = wait_us / 1000000, .tv_nsec = wait_us % 1000000 * 1000};
        int count = epoll_pwait2(epoll, events, 256, &wait, NULL);
        for (int i = 0; i < count; i++) {
            struct conn *c = events[i].data.ptr;
            if (events[i].events & EPOLLOUT) push(c);
            if ((events[i].events & EPOLLIN) && readable(c)) {
                open--;
                if (rate == 0 && now_us() < end) post(c, now_us()), posted++, open++;
            }
        }
    }
    double took = (double)(now_us() - started) / 1e6;
    printf("{\"posts\":%lld,\"good\":%lld,\"unanswered\":%lld,\"seconds\":%.6f,\"p50_ms\":%.3f,\"p99_ms\":%.3f,\"max_ms\":%.3f,\"statuses\":{",
           (long long)answered, (long long)good, (long long)open, took, percentile(0.5), percentile(0.99), (double)max_us / 1e3);
    for (int i = 0, first = 1; i < 600; i++)
        if (statuses[i]) printf("%s\"%d\":%lld", first ? "" : ",", i, (long long)statuses[i]), first = 0;
    printf("}}\n");
    return 0;
}
