// SPDX-License-Identifier: MIT
#pragma once

/// \file
/// What the devices of one IOMMU group share within the process. The kernel gives a group to one owner at a time, so a
/// second device of it has to come in through what the first one opened; and it goes when the last one leaves.

#include <unistd.h>

#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <utility>

#include "fork_guard.hpp"
#include "uiovfio/bdf.hpp"

namespace uiovfio::detail {

/// Groups by name, each with its members and a Shared that is made for the first of them and destroyed with the last.
/// All functions may be called from any thread; making and destroying happen with the lock held, so that nobody finds
/// a group half open. After a fork() the child begins with none: what it inherited is its parent's.
template <class Shared>
class GroupMembers {
    struct Group {
        std::unique_ptr<Shared> shared;
        std::set<Bdf> members;
    };
    using Groups = std::map<std::pair<pid_t, std::string>, Group>;

  public:
    /// A device's part in its group. Move-only; leaves when destroyed. A fork() comes before it leaves or after, so
    /// that a child can ask whether it has.
    class Member {
      public:
        Member() noexcept = default;
        Member(Member&& other) noexcept
            : owner_{std::exchange(other.owner_, nullptr)}, group_{other.group_}, bdf_{other.bdf_} {}
        Member& operator=(Member&& other) noexcept {
            if (this != &other) {
                leave();
                owner_ = std::exchange(other.owner_, nullptr);
                group_ = other.group_;
                bdf_ = other.bdf_;
            }
            return *this;
        }
        ~Member() { leave(); }

        Shared& operator*() const noexcept { return *group_->second.shared; }
        Shared* operator->() const noexcept { return group_->second.shared.get(); }

        /// Calls `to_others` first where other members stay, who must not inherit what this one has left behind.
        template <class ToOthers>
        void leave(ToOthers&& to_others) noexcept {
            if (owner_ == nullptr) return;
            const std::lock_guard lock{owner_->mutex_};
            auto& group = group_->second;
            if (group.members.size() > 1) to_others(*group.shared);
            group.members.erase(bdf_);
            if (group.members.empty()) owner_->groups_.erase(group_);
            owner_ = nullptr;
        }
        void leave() noexcept {
            leave([](Shared&) {});
        }

        /// Calls `action` where there is no other member, and keeps others from joining meanwhile.
        template <class Action>
        void if_alone(Action&& action) noexcept {
            if (owner_ == nullptr) return;
            const std::lock_guard lock{owner_->mutex_};
            if (group_->second.members.size() == 1) action(*group_->second.shared);
        }

        explicit operator bool() const noexcept { return owner_ != nullptr; }

      private:
        friend class GroupMembers;
        Member(GroupMembers& owner, typename Groups::iterator group, const Bdf& bdf) noexcept
            : owner_{&owner}, group_{group}, bdf_{bdf} {}

        GroupMembers* owner_ = nullptr;
        typename Groups::iterator group_;
        Bdf bdf_;
    };

    enum class Joining {
        joined,
        member_already,  ///< this process has the device open
        not_made,        ///< `make` gave nothing
    };

    /// Makes `bdf` a member of the group of that name. For the first one, `make` gives the Shared, or null to say that
    /// it could not be had now; it may throw.
    template <class Make>
    Joining join(const std::string& name, const Bdf& bdf, Member& member, Make&& make) {
        const std::lock_guard lock{mutex_};
        const std::pair key{::getpid(), name};
        auto group = groups_.find(key);
        if (group != groups_.end() && group->second.members.contains(bdf)) return Joining::member_already;
        if (group == groups_.end()) {
            Group made{make(), {bdf}};
            if (!made.shared) return Joining::not_made;
            group = groups_.emplace(key, std::move(made)).first;
        } else {
            group->second.members.insert(bdf);
        }
        member = Member{*this, group, bdf};
        return Joining::joined;
    }

  private:
    ForkMutex mutex_;  // a child leaves the groups of its parent's
    Groups groups_;
};

}  // namespace uiovfio::detail
