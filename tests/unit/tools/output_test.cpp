// SPDX-License-Identifier: MIT
#include "cli/output.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <CLI/CLI.hpp>
#include <sstream>

#include "cli/exit.hpp"
#include "cli/tool.hpp"

namespace pcienic::cli {
namespace {

class OutputTest : public testing::Test {
  protected:
    std::string write(std::vector<std::string> options) {
        std::ostringstream out;
        Output output{"tool", out};
        CLI::App app;
        output.add_options(app);
        std::ranges::reverse(options);
        app.parse(options);
        output.write(document_);
        return out.str();
    }

    static Json row(const char* name, std::uint64_t value) {
        Json row{{"name", name}};
        put_number(row, "value", value, 32);
        return row;
    }

    Document document_{.schema = "test/1",
                       .device = "0000:00:04.0",
                       .columns = {{.key = "name", .title = "NAME"}, {.key = "value", .title = "VALUE", .right = true}},
                       .rows = Json::array({row("SCRATCH", 42), row("ID", 7)}),
                       .raw_key = "value_hex"};
};

TEST_F(OutputTest, DrawsATable) {
    EXPECT_EQ(write({}),
              "NAME     VALUE\n"
              "SCRATCH     42\n"
              "ID           7\n");
}

TEST_F(OutputTest, WritesOneDocument) {
    const Json document = Json::parse(write({"--json"}));
    EXPECT_EQ(document["schema"], "test/1");
    EXPECT_EQ(document["tool"], "tool " + std::string{version()});
    EXPECT_EQ(document["device"], "0000:00:04.0");
    EXPECT_EQ(document["data"], document_.rows);
    EXPECT_EQ(write({"-o", "json"}), write({"--json"}));
}

TEST_F(OutputTest, KeepsNumbersAsNumbersWithTheExactTextBeside) {
    document_.rows = Json::array({row("BIG", ~std::uint64_t{0})});
    const Json data = Json::parse(write({"--json"}))["data"][0];
    EXPECT_EQ(data["value"].get<std::uint64_t>(), ~std::uint64_t{0});
    EXPECT_EQ(data["value_hex"], "0xffffffffffffffff");
}

// The kernel cuts a program's name after 15 bytes, in the middle of a character if one is there.
TEST_F(OutputTest, WritesJsonOfTextThatIsNoUtf8) {
    document_.rows = Json::array({row("caf\xc3", 1)});
    document_.rows[0]["of"] = Json::array({Json{{"name", "\xff"}}});
    EXPECT_EQ(Json::parse(write({"--json"}))["data"][0]["name"], "caf\ufffd");
    EXPECT_EQ(Json::parse(write({"-o", "jsonl"}))["name"], "caf\ufffd");
    document_.columns.push_back({.key = "of", .title = "OF"});
    for (const char* form : {"tsv", "table"}) EXPECT_THAT(write({"-o", form}), testing::HasSubstr("\ufffd"));
}

TEST_F(OutputTest, WritesALineForEachRow) {
    EXPECT_EQ(write({"-o", "jsonl"}),
              "{\"name\":\"SCRATCH\",\"value\":42,\"value_hex\":\"0x0000002a\"}\n"
              "{\"name\":\"ID\",\"value\":7,\"value_hex\":\"0x00000007\"}\n");
}

TEST_F(OutputTest, WritesTabs) { EXPECT_EQ(write({"-o", "tsv"}), "name\tvalue\nSCRATCH\t42\nID\t7\n"); }

TEST_F(OutputTest, WritesValuesAlone) { EXPECT_EQ(write({"-o", "raw"}), "0x0000002a\n0x00000007\n"); }

TEST_F(OutputTest, PrefersLinesToATable) {
    document_.line = [](const Json& row) { return row["name"].get<std::string>() + "!"; };
    EXPECT_EQ(write({}), "SCRATCH!\nID!\n");
    EXPECT_EQ(write({"-o", "tsv"}), "name\tvalue\nSCRATCH\t42\nID\t7\n") << "for text only";
}

TEST_F(OutputTest, ShowsAbsentAndCompoundValues) {
    document_.columns = {{.key = "a", .title = "A"}, {.key = "b", .title = "B"}, {.key = "c", .title = "C"}};
    document_.rows =
        Json::array({{{"a", nullptr}, {"b", true}, {"c", {"x", 1}}}, {{"b", false}, {"c", Json::array()}}});
    EXPECT_EQ(write({}), "A  B    C\n-  yes  x,1\n-  no   -\n");
}

TEST_F(OutputTest, ColoursOnlyText) {
    EXPECT_THAT(write({"--color", "always"}), testing::HasSubstr("\x1b[1mNAME\x1b[0m"));
    EXPECT_THAT(write({"--color", "always", "--json"}), testing::Not(testing::HasSubstr("\x1b")));
    EXPECT_THAT(write({}), testing::Not(testing::HasSubstr("\x1b"))) << "not a terminal";
}

TEST(Hex, IsAsWideAsTheAccess) {
    EXPECT_EQ(hex(0x2a, 8), "0x2a");
    EXPECT_EQ(hex(0x2a, 32), "0x0000002a");
    EXPECT_EQ(hex(0x2a, 64), "0x000000000000002a");
}

int guarded_with(const std::function<Exit()>& body, std::string& message) {
    std::ostringstream out, err;
    const int code = guarded("tool", out, err, body);
    message = err.str();
    return code;
}

TEST(Guarded, OutputThatCannotBeWrittenIsAFailure) {
    std::ofstream out{"/dev/full"};
    std::ostringstream err;
    const auto write = [&] {
        out << "half of it";
        return Exit::ok;
    };
    EXPECT_EQ(guarded("tool", out, err, write), 1);
    EXPECT_EQ(err.str(), "tool: the output could not be written: is it closed, or the disk full?\n");
}

TEST(Guarded, TurnsExceptionsIntoOneLineAndACode) {
    std::string message;
    EXPECT_EQ(guarded_with([] { return Exit::ok; }, message), 0);
    EXPECT_EQ(message, "");
    EXPECT_EQ(guarded_with([]() -> Exit { throw Failure{Exit::check_failed, "a: b: c"}; }, message), 5);
    EXPECT_EQ(message, "tool: a: b: c\n");
    EXPECT_EQ(guarded_with([]() -> Exit { throw std::runtime_error{"x"}; }, message), 1);
}

struct ErrcCase {
    uiovfio::Errc errc;
    int code;
};

class ExitFor : public testing::TestWithParam<ErrcCase> {};

TEST_P(ExitFor, IsTheDocumentedCode) {
    std::string message;
    EXPECT_EQ(guarded_with([]() -> Exit { throw uiovfio::Error{GetParam().errc, "object"}; }, message), GetParam().code)
        << message;
    EXPECT_THAT(message, testing::StartsWith("tool: object: "));
}

INSTANTIATE_TEST_SUITE_P(
    Errors, ExitFor,
    testing::Values(ErrcCase{uiovfio::Errc::device_gone, 1}, ErrcCase{uiovfio::Errc::misaligned, 2},
                    ErrcCase{uiovfio::Errc::no_such_device, 3}, ErrcCase{uiovfio::Errc::ambiguous_device, 3},
                    ErrcCase{uiovfio::Errc::not_bound, 4}, ErrcCase{uiovfio::Errc::permission_denied, 4},
                    ErrcCase{uiovfio::Errc::group_not_viable, 4}, ErrcCase{uiovfio::Errc::no_iommu, 4},
                    ErrcCase{uiovfio::Errc::memory_lock_limit, 4}, ErrcCase{uiovfio::Errc::timed_out, 6}));

TEST(Parse, TurnsEveryMistakeIntoUsage) {
    for (const std::vector<std::string>& arguments :
         {std::vector<std::string>{"--nonsense"}, {"--color", "pink"}, {"-o"}}) {
        std::ostringstream out;
        Output output{"tool", out};
        CLI::App app;
        dress(app, "tool", "", "tool(1)");
        output.add_options(app);
        try {
            static_cast<void>(parse(app, arguments, out));
            ADD_FAILURE() << arguments.front();
        } catch (const Failure& failure) {
            EXPECT_EQ(failure.code(), Exit::usage);
            EXPECT_THAT(failure.what(), testing::HasSubstr("see tool --help"));
        }
    }
}

TEST(Parse, ShowsHelpWithExamplesFirstAndExitCodes) {
    std::ostringstream out;
    CLI::App app;
    dress(app, "tool", "  tool --do it\n", "tool(1)");
    EXPECT_EQ(parse(app, {"--help"}, out), Exit::ok);
    const std::string help = out.str();
    EXPECT_LT(help.find("tool --do it"), help.find("Options"));
    EXPECT_THAT(help, testing::HasSubstr("Exit codes: 0 ok"));
    EXPECT_THAT(help, testing::HasSubstr("See also: tool(1)"));
}

}  // namespace
}  // namespace pcienic::cli
