// SPDX-License-Identifier: MIT
#include "backends/group_members.hpp"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <memory>
#include <stdexcept>
#include <thread>
#include <vector>

namespace uiovfio::detail {

namespace {

/// What a group shares, here: that there is only one of them at a time.
struct Shared {
    explicit Shared(std::atomic<int>& count) : alive{count} { EXPECT_EQ(++alive, 1); }
    ~Shared() { --alive; }
    std::atomic<int>& alive;
};

using Members = GroupMembers<Shared>;
using Joining = Members::Joining;

const Bdf kFirst{0, 1, 0, 0};
const Bdf kSecond{0, 1, 0, 1};

}  // namespace

class GroupMembersTest : public testing::Test {
  protected:
    Joining join(const Bdf& bdf, Members::Member& member, const std::string& group = "7") {
        return members.join(group, bdf, member, [this] { return std::make_unique<Shared>(alive); });
    }

    std::atomic<int> alive{0};
    Members members;
};

TEST_F(GroupMembersTest, ShareOneThingUntilTheLastLeaves) {
    Members::Member first;
    EXPECT_FALSE(first);
    EXPECT_EQ(join(kFirst, first), Joining::joined);
    EXPECT_TRUE(first);
    {
        Members::Member second;
        EXPECT_EQ(join(kSecond, second), Joining::joined);
        EXPECT_EQ(&*first, &*second);
    }
    EXPECT_EQ(alive, 1);
    Members::Member moved = std::move(first);
    EXPECT_FALSE(first);
    EXPECT_EQ(alive, 1);
    moved.leave();
    moved.leave();
    EXPECT_EQ(alive, 0);
}

TEST_F(GroupMembersTest, LetADeviceInOnce) {
    Members::Member first;
    Members::Member again;
    EXPECT_EQ(join(kFirst, first), Joining::joined);
    EXPECT_EQ(join(kFirst, again), Joining::member_already);
    EXPECT_FALSE(again);
    first = Members::Member{};
    EXPECT_EQ(join(kFirst, again), Joining::joined);
}

TEST_F(GroupMembersTest, KeepNothingOfWhatCouldNotBeMade) {
    Members::Member member;
    EXPECT_EQ(members.join("7", kFirst, member, [] { return std::unique_ptr<Shared>{}; }), Joining::not_made);
    EXPECT_THROW(members.join("7", kFirst, member,
                              []() -> std::unique_ptr<Shared> { throw std::runtime_error{"no such thing"}; }),
                 std::runtime_error);
    EXPECT_EQ(join(kFirst, member), Joining::joined);
}

TEST_F(GroupMembersTest, TellOnlyALeaverWhomOthersOutlive) {
    Members::Member first;
    Members::Member second;
    join(kFirst, first);
    join(kSecond, second);
    int told = 0;
    first.leave([&](Shared&) { ++told; });
    EXPECT_EQ(told, 1);
    second.leave([&](Shared&) { ++told; });
    EXPECT_EQ(told, 1);
}

TEST_F(GroupMembersTest, BeginAnewInAChildProcess) {
    Members::Member first;
    join(kFirst, first);
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
        // What is inherited is the parent's: the child has to ask the kernel itself.
        bool asked = false;
        Members::Member member;
        const Joining outcome = members.join("7", kFirst, member, [&] {
            asked = true;
            return std::unique_ptr<Shared>{};
        });
        ::_exit(asked && outcome == Joining::not_made ? 0 : 1);
    }
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
}

TEST_F(GroupMembersTest, ComeAndGoFromManyThreads) {
    std::vector<std::thread> threads;
    for (std::uint8_t thread = 0; thread < 4; ++thread)
        threads.emplace_back([this, thread] {
            for (int round = 0; round < 500; ++round) {
                Members::Member member;
                EXPECT_EQ(join(Bdf{0, 1, 0, thread}, member), Joining::joined);
                EXPECT_EQ(member->alive, 1);
            }
        });
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(alive, 0);
}

}  // namespace uiovfio::detail
