// SPDX-License-Identifier: MIT
#include "cli/input.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "cli/exit.hpp"

namespace pcienic::cli {
namespace {

using testing::HasSubstr;
using testing::ThrowsMessage;

class Input : public testing::Test {
  protected:
    Input() {
        std::filesystem::create_directory(folder);
        std::ofstream{file} << "some words";
    }
    ~Input() override { std::filesystem::remove_all(folder); }

    std::filesystem::path folder =
        std::filesystem::temp_directory_path() / ("pcienic-input-" + std::to_string(::getpid()));
    std::string file = folder / "file";
};

TEST_F(Input, IsReadToItsEnd) {
    EXPECT_EQ(read_file(file, 10), "some words");
    EXPECT_EQ(read_file("/dev/null", 0), "");
    std::istringstream stream{std::string(200000, 'x')};
    EXPECT_EQ(read_all(stream, "it", 200000).size(), 200000u);
}

TEST_F(Input, ThatDoesNotEndOrCannotBeReadIsRefused) {
    EXPECT_THAT([&] { read_file(file, 9); }, ThrowsMessage<Failure>(HasSubstr("more than the 9 bytes")));
    EXPECT_THAT([] { read_file("/dev/zero", 1 << 20); }, ThrowsMessage<Failure>(HasSubstr("/dev/zero: has more")));
    EXPECT_THAT([&] { read_file(folder, 10); }, ThrowsMessage<Failure>(HasSubstr("is a folder")));
    EXPECT_THAT([] { read_file("/nonexistent", 10); }, ThrowsMessage<Failure>(HasSubstr("cannot be read")));
}

TEST_F(Input, IsNotWrittenOver) {
    std::filesystem::create_symlink(file, folder / "other");
    EXPECT_THAT([&] { refuse_same_file(file, folder / "other"); },
                ThrowsMessage<Failure>(HasSubstr("would be overwritten")));
    refuse_same_file(file, folder / "new");
    refuse_same_file(file, "");
    refuse_same_file("", file);
}

}  // namespace
}  // namespace pcienic::cli
