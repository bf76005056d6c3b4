// SPDX-License-Identifier: MIT
#include "file_descriptor.hpp"

#include <gtest/gtest.h>

#include <utility>

#include "system.hpp"

namespace uiovfio::detail {
namespace {

/// Closes standard input for as long as it lives: the next file that is opened gets its number.
class WithoutStandardInput {
  public:
    WithoutStandardInput() : kept_{::fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 100)} { ::close(STDIN_FILENO); }
    ~WithoutStandardInput() {
        if (kept_ < 0) return;  // it was closed before
        ::dup2(kept_, STDIN_FILENO);
        ::close(kept_);
    }
    WithoutStandardInput(const WithoutStandardInput&) = delete;
    WithoutStandardInput& operator=(const WithoutStandardInput&) = delete;

  private:
    int kept_;
};

bool is_open(int descriptor) { return ::fcntl(descriptor, F_GETFD) >= 0; }

TEST(FileDescriptor, HasNoStandardStreamsNumber) {
    const WithoutStandardInput without;
    const FileDescriptor file{::open("/dev/null", O_RDWR | O_CLOEXEC)};
    EXPECT_GT(file.get(), STDERR_FILENO);
    EXPECT_EQ(::fcntl(file.get(), F_GETFD), FD_CLOEXEC);
    EXPECT_FALSE(is_open(STDIN_FILENO));
    const int opened = real_system().open("/dev/null", O_RDWR | O_CLOEXEC);
    EXPECT_GT(opened, STDERR_FILENO);
    EXPECT_EQ(real_system().close(opened), 0);
}

TEST(FileDescriptor, KeepsAnyOtherNumberAndTheErrno) {
    const int descriptor = ::open("/dev/null", O_RDWR | O_CLOEXEC);
    const FileDescriptor file{descriptor};
    EXPECT_EQ(file.get(), descriptor);
    const FileDescriptor none{::open("/none/there", O_RDONLY | O_CLOEXEC)};
    EXPECT_FALSE(none);
    EXPECT_EQ(errno, ENOENT);
}

}  // namespace
}  // namespace uiovfio::detail
