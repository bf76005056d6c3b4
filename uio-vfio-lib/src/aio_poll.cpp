// SPDX-License-Identifier: MIT
#include "aio_poll.hpp"

#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>

namespace uiovfio::detail {

int AioPoll::start(int file, int event_fd) noexcept {
    if (context_ == 0 && ::syscall(SYS_io_setup, 1, &context_) != 0) return errno;
    iocb request{};
    request.aio_lio_opcode = IOCB_CMD_POLL;
    request.aio_fildes = static_cast<std::uint32_t>(file);
    request.aio_buf = POLLIN;
    request.aio_flags = IOCB_FLAG_RESFD;
    request.aio_resfd = static_cast<std::uint32_t>(event_fd);
    iocb* list = &request;
    if (::syscall(SYS_io_submit, context_, 1, &list) != 1) return errno;
    is_started_ = true;
    return 0;
}

bool AioPoll::is_pending() noexcept {
    if (!is_started_) return false;
    io_event event{};
    timespec at_once{};
    if (::syscall(SYS_io_getevents, context_, 0, 1, &event, &at_once) == 1) is_started_ = false;
    return is_started_;
}

void AioPoll::reset() noexcept {
    if (context_ != 0) ::syscall(SYS_io_destroy, context_);
    context_ = 0;
    is_started_ = false;
}

}  // namespace uiovfio::detail
