// SPDX-License-Identifier: MIT
#include "cli/streams.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

namespace pcienic::cli {

void occupy_closed_streams() noexcept {
    for (int stream = STDIN_FILENO; stream <= STDERR_FILENO; ++stream) {
        if (::fcntl(stream, F_GETFD) >= 0 || errno != EBADF) continue;
        // The lowest free number is this one's. Open the other way round, so that its use is still an error.
        [[maybe_unused]] const int taken = ::open("/dev/null", stream == STDIN_FILENO ? O_WRONLY : O_RDONLY);
    }
}

}  // namespace pcienic::cli
